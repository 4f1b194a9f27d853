"""Plans as rows of numbers: per block the place of its op among the choices, and as bits what the op leaves out."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from spaces.plan import Op, Plan
from spaces.spaces import Space

Codes = NDArray[np.int8]
"""(N, blocks)."""


class Coding:
    """The rows of one space. L blocks, F bits."""

    def __init__(self, space: Space) -> None:
        self.choices = [space.choices(block) for block in range(space.num_blocks)]
        self.counts = np.array([len(ops) for ops in self.choices])
        """(L,) ops to choose from at every block."""
        self._places = [{op: place for place, op in enumerate(ops)} for ops in self.choices]
        tables = [_bits(ops) for ops in self.choices]
        self._bits = np.zeros((len(tables), self.counts.max(), max(table.shape[1] for table in tables)))
        """(L, choices, bits a block); blocks with fewer choices or bits are filled up with zeros."""
        for block, table in enumerate(tables):
            self._bits[block, : table.shape[0], : table.shape[1]] = table

    def encode(self, plans: Iterable[Plan]) -> Codes:
        """(N, L)."""
        rows = [[places[op] for places, op in zip(self._places, plan.ops, strict=True)] for plan in plans]
        return np.array(rows, dtype=np.int8).reshape(-1, len(self.choices))

    def decode(self, code: NDArray[np.int8]) -> Plan:
        """The plan of one row."""
        return Plan.of(ops[place] for ops, place in zip(self.choices, code, strict=True))

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """(N, F) zeros and ones."""
        return self._bits[np.arange(codes.shape[1]), codes].reshape(len(codes), -1)


def _bits(ops: tuple[Op, ...]) -> NDArray[np.float64]:
    """(ops, bits): no attention, no FFN, both in parallel; of columns that always agree only the first."""
    columns = np.array([[not op.runs_attention, not op.runs_ffn, op is Op.PARALLEL] for op in ops], dtype=float)
    kept = dict.fromkeys(tuple(column) for column in columns.T if column.any())
    return np.array(list(kept)).T.reshape(len(ops), -1)
