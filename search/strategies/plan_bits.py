"""Plans as rows of numbers: codes (the index of each block's level among its choices) and bits (what the level does).

A level is an op with its scope and its pruning.
"""

from collections.abc import Iterable
from enum import StrEnum
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from spaces.plan import Block, Op, Plan
from spaces.product import choices_of, plan_of
from spaces.pruning import FULL, Calibration, Linears, Method, Pruning
from spaces.scope import Group
from spaces.spaces import Space

CODE = np.int16
Codes = NDArray[CODE]
"""(N, L) codes of N plans with L blocks, int16; `keys` compares rows by their bytes, which needs one dtype."""
MOVING_OPS = (Op.PARALLEL, Op.PAIR)
"""Ops that skip nothing but run sub-layers in another order; each has its own bits."""


class Coding:
    """Converts the plans of one space to codes and bits, and codes back to plans. L blocks, F bits."""

    def __init__(self, space: Space) -> None:
        self.choices = [space.choices(block) for block in range(space.num_blocks)]
        self.counts = np.array([len(levels) for levels in self.choices])
        """(L,) number of levels that each block can choose from."""
        self._places = [{level: place for place, level in enumerate(levels)} for levels in self.choices]
        tables = [_bits(levels) for levels in self.choices]
        self._bits = np.zeros((len(tables), self.counts.max(), max(table.shape[1] for table in tables)))
        """(L, choices, bits per block); blocks with fewer choices or bits are padded with zeros."""
        for block, table in enumerate(tables):
            self._bits[block, : table.shape[0], : table.shape[1]] = table
        self.bits_of = tables
        """Per block, (choices, bits) without padding."""

    @property
    def num_bits(self) -> int:
        """Return the number of bits of a plan."""
        return self._bits[:, 0].size

    def encode(self, plans: Iterable[Plan]) -> Codes:
        """Return (N, L) codes of plans."""
        rows = [[places[level] for places, level in zip(self._places, choices_of(plan), strict=True)] for plan in plans]
        return np.array(rows, dtype=CODE).reshape(-1, len(self.choices))

    def decode(self, code: NDArray[CODE]) -> Plan:
        """Return the plan of one row."""
        return plan_of([levels[place] for levels, place in zip(self.choices, code, strict=True)])

    def bits(self, codes: Codes) -> NDArray[np.float64]:
        """Return the (N, F) bits, 0.0 or 1.0, of plans given as (N, L) codes."""
        return self._bits[np.arange(codes.shape[1]), codes].reshape(len(codes), self.num_bits)


def keys(codes: Codes) -> list[bytes]:
    """Return one hashable key per row of (N, L) codes; two keys are equal if and only if the rows are."""
    return np.ascontiguousarray(codes).view(f"V{codes.shape[1] * codes.itemsize}").ravel().tolist()


def _bits(levels: tuple[Block, ...]) -> NDArray[np.float64]:
    """Return (levels, bits) of one block's levels.

    The bits say, per token group: attention skipped, FFN skipped, run in parallel, run in a pair; then what is pruned.
    Constant zero columns are dropped, and of identical columns only the first is kept: without scopes, for example,
    the columns of all token groups are identical.
    """
    steps = [_steps(levels, sublayer) for sublayer in (Linears.ATTENTION, Linears.FFN)]
    rows = []
    for level in levels:
        row = [not level.runs_attention(group) for group in Group] + [not level.runs_ffn(group) for group in Group]
        for op in MOVING_OPS:
            row += [level.op is op and group in level.scope.groups for group in Group]
        for sublayer, (kept, widths) in zip((Linears.ATTENTION, Linears.FFN), steps, strict=True):
            row += [_kept(level, sublayer) <= step for step in kept] + [
                _width(level, sublayer) <= step for step in widths
            ]
        row += [level.pruning is not None and kind in _kinds(level.pruning) for kind in _ALL_KINDS]
        row.append(level.pruning is not None and level.pruning.pattern is not None)
        rows.append(row)
    kept_columns = dict.fromkeys(tuple(column) for column in np.array(rows, dtype=float).T if column.any())
    return np.array(list(kept_columns)).T.reshape(len(levels), -1)


_ALL_KINDS: tuple[StrEnum, ...] = (*Method, *Calibration)


def _kinds(pruning: Pruning) -> tuple[StrEnum | None, ...]:
    return pruning.method, pruning.calibration


def removed(level: Block) -> tuple[float, float]:
    """Return the fractions in [0, 1] of a block's attention and of its FFN that a level leaves out.

    All token groups have the same weight. A sub-layer that runs in parallel or in a pair counts as 0.5.
    """
    moved = 0.5 if level.op in (*MOVING_OPS, Op.PAIRED) else 0.0
    skips = (
        fmean(moved * (group in level.scope.groups) or float(not runs(group)) for group in Group)
        for runs in (level.runs_attention, level.runs_ffn)
    )
    kept = (min(_kept(level, sublayer), _width(level, sublayer)) for sublayer in (Linears.ATTENTION, Linears.FFN))
    attention, ffn = (max(skip, 1.0 - keep) for skip, keep in zip(skips, kept, strict=True))
    return attention, ffn


def _steps(levels: tuple[Block, ...], sublayer: Linears) -> tuple[list[float], list[float]]:
    """Return the fractions of weights, and of width, below 1 that the levels keep of a sub-layer, largest first.

    Each fraction is one bit. A level has the bits of all fractions not smaller than its own, so that the effect
    learned for mild pruning also counts for severe pruning.
    """
    shares = {_kept(level, sublayer) for level in levels}, {_width(level, sublayer) for level in levels}
    kept, widths = (sorted(each - {1.0}, reverse=True) for each in shares)
    return kept, widths


def _kept(level: Block, sublayer: Linears) -> float:
    """Return the fraction of a sub-layer's weights that are not zero; a saved mask counts as 0.5."""
    if level.pruning is None or not level.pruning.sparsifies(sublayer):
        return 1.0
    return 0.5 if level.pruning.method is Method.SAVED else level.pruning.kept_weights(1000) / 1000


def _width(level: Block, sublayer: Linears) -> float:
    if level.pruning is None:
        return 1.0
    return (level.pruning.head_width if sublayer is Linears.ATTENTION else level.pruning.ffn_width) / FULL
