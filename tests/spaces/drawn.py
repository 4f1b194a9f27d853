"""Hypothesis strategies for plans and random generators."""

import numpy as np
from hypothesis import strategies as st

from spaces.block import SINGLE_OPS
from spaces.plan import Block, Op, Plan, Scope, Variant

ops = st.sampled_from(SINGLE_OPS)
scopes = st.sampled_from(Scope)
PAIRED = Block(Op.PAIRED)


def single(op: Op, scope: Scope) -> tuple[Block]:
    return (Block(op, Scope.ALL if op is Op.KEEP else scope),)


units = st.builds(single, ops, scopes) | st.builds(
    lambda scope, variant: (Block(Op.PAIR, scope, variant), PAIRED), scopes, st.sampled_from(Variant)
)
"""One block, or two that are a pair."""


def unscoped_plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    """Plans of single blocks whose ops are for all tokens."""
    return st.lists(ops, min_size=min_blocks, max_size=max_blocks).map(Plan.of)


def plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    """Plans with every op, scope and pair; the last block is no half of a pair that doesn't fit."""

    def joined(drawn: list[tuple[Block, ...]], num_blocks: int) -> Plan:
        blocks = [block for unit in drawn for block in unit][:num_blocks]
        if blocks[-1].op is Op.PAIR:
            blocks[-1] = Block(Op.SKIP_BLOCK, blocks[-1].scope)
        return Plan(tuple(blocks))

    return st.integers(min_blocks, max_blocks).flatmap(
        lambda n: st.lists(units, min_size=n, max_size=n).map(lambda drawn: joined(drawn, n))
    )


generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
