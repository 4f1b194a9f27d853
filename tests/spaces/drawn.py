"""Hypothesis strategies for plans and random generators."""

import numpy as np
from hypothesis import strategies as st

from spaces.block import CROSS_OPS, SINGLE_OPS
from spaces.kinds import BlockKind
from spaces.plan import Block, Op, Plan, Scope, Variant
from spaces.pruning import FULL, Calibration, Linears, Method, Pattern, Pruning

ops = st.sampled_from(SINGLE_OPS)
scopes = st.sampled_from(Scope)
PAIRED = Block(Op.PAIRED)


def single(op: Op, scope: Scope) -> tuple[Block]:
    return (Block(op, Scope.ALL if op is Op.KEEP else scope),)


cross_ops = st.sampled_from(CROSS_OPS)
units = st.builds(single, ops, scopes) | st.builds(
    lambda scope, variant: (Block(Op.PAIR, scope, variant), PAIRED), scopes, st.sampled_from(Variant)
)
"""One block, or two that are a pair."""


def unscoped_plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    """Plans of single blocks whose ops are for all tokens."""
    return st.lists(ops, min_size=min_blocks, max_size=max_blocks).map(Plan.of)


def plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    """Plans with every op, scope and pair; no pair begins at the last block."""

    def joined(drawn: list[tuple[Block, ...]], num_blocks: int) -> Plan:
        blocks = [block for unit in drawn for block in unit][:num_blocks]
        if blocks[-1].op is Op.PAIR:
            blocks[-1] = Block(Op.SKIP_BLOCK, blocks[-1].scope)
        return Plan(tuple(blocks))

    return st.integers(min_blocks, max_blocks).flatmap(
        lambda n: st.lists(units, min_size=n, max_size=n).map(lambda drawn: joined(drawn, n))
    )


def fitted(plan: Plan, kinds: tuple[BlockKind, ...]) -> Plan:
    """The plan with what blocks of these kinds can't do replaced: skip_attn by skip_cross, pairs and others by
    skip_ffn."""
    refused = [kind.refusal(block.op) is not None for block, kind in zip(plan.blocks, kinds, strict=True)]
    blocks = []
    for i, block in enumerate(plan.blocks):
        partner = i + 1 if block.op is Op.PAIR else i - 1 if block.op is Op.PAIRED else i
        op = Op.SKIP_CROSS if block.op is Op.SKIP_ATTN else Op.SKIP_FFN
        blocks.append(Block(op, block.scope) if refused[i] or refused[partner] else block)
    return Plan(tuple(blocks))


def cross_plans(min_blocks: int = 1, max_blocks: int = 40) -> st.SearchStrategy[Plan]:
    """Plans with the ops of self-attention and of cross-attention blocks, any of them in any place."""
    every = st.builds(single, ops | cross_ops, scopes).map(lambda unit: unit[0])
    return st.lists(every, min_size=min_blocks, max_size=max_blocks).map(Plan.of)


percents = st.integers(1, FULL - 1)
_amounts = st.builds(lambda percent: {"percent": percent}, percents) | st.sampled_from([(2, 4), (4, 8), (1, 3)]).map(
    lambda pair: {"pattern": Pattern(*pair)}
)
_methods = st.builds(
    lambda method, amount, linears: {"method": method, "linears": linears, **(amount if method != "saved" else {})},
    st.sampled_from(Method),
    _amounts,
    st.sampled_from(Linears),
)
_widths = st.fixed_dictionaries({}, optional={"ffn_width": percents, "head_width": percents})


def _pruning(fields: dict, calibration: Calibration) -> Pruning:
    found = Pruning(**fields)
    return Pruning(**fields, calibration=calibration) if found.is_calibrated else found


prunings = st.builds(
    lambda method, widths, calibration: _pruning(method | (widths if method["method"] != "saved" else {}), calibration),
    _methods,
    _widths,
    st.sampled_from(Calibration),
) | st.builds(_pruning, _widths.filter(bool), st.sampled_from(Calibration))
"""Every method, ratio, choice of linears, width and calibration."""


@st.composite
def pruned_plans(draw: st.DrawFn, min_blocks: int = 1, max_blocks: int = 12) -> Plan:
    """Plans in which some blocks are pruned as they can be, each by its own or, often, all by the same."""
    plan, choices = draw(plans(min_blocks, max_blocks)), draw(st.lists(prunings, min_size=1, max_size=3))
    spared = draw(st.booleans())
    blocks = []
    for block in plan.blocks:
        pruning = draw(st.sampled_from([*choices, None] if spared else choices))
        blocks.append(block.pruned(pruning and block.part_of(pruning)))
    return Plan(tuple(blocks))


generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
