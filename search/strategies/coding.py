"""Plans as rows of numbers: the place of each level (op, scope) among a block's choices, and bits of what it does."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from spaces.plan import Block, Op, Plan
from spaces.product import choices_of, plan_of
from spaces.scope import Group
from spaces.spaces import Space

Codes = NDArray[np.int8]
"""(N, blocks)."""


class Coding:
    """The rows of one space. L blocks, F bits."""

    def __init__(self, space: Space) -> None:
        self.choices = [space.choices(block) for block in range(space.num_blocks)]
        self.counts = np.array([len(levels) for levels in self.choices])
        """(L,) levels to choose from at every block."""
        self._places = [{level: place for place, level in enumerate(levels)} for levels in self.choices]
        tables = [_bits(levels) for levels in self.choices]
        self._bits = np.zeros((len(tables), self.counts.max(), max(table.shape[1] for table in tables)))
        """(L, choices, bits a block); blocks with fewer choices or bits are filled up with zeros."""
        for block, table in enumerate(tables):
            self._bits[block, : table.shape[0], : table.shape[1]] = table

    def encode(self, plans: Iterable[Plan]) -> Codes:
        """(N, L)."""
        rows = [[places[level] for places, level in zip(self._places, choices_of(plan), strict=True)] for plan in plans]
        return np.array(rows, dtype=np.int8).reshape(-1, len(self.choices))

    def decode(self, code: NDArray[np.int8]) -> Plan:
        """The plan of one row."""
        return plan_of([levels[place] for levels, place in zip(self.choices, code, strict=True)])

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """(N, F) zeros and ones."""
        return self._bits[np.arange(codes.shape[1]), codes].reshape(len(codes), self._bits[:, 0].size)


def _bits(levels: tuple[Block, ...]) -> NDArray[np.float64]:
    """(levels, bits): for every group of tokens no attention, no FFN, both in parallel, in a pair; of columns that
    always agree, as those of the groups do where no level has a scope, only the first."""
    rows = []
    for level in levels:
        row = [not level.runs_attention(group) for group in Group] + [not level.runs_ffn(group) for group in Group]
        for op in (Op.PARALLEL, Op.PAIR):
            row += [level.op is op and group in level.scope.groups for group in Group]
        rows.append(row)
    kept = dict.fromkeys(tuple(column) for column in np.array(rows, dtype=float).T if column.any())
    return np.array(list(kept)).T.reshape(len(levels), -1)
