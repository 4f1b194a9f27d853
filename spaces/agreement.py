"""Compares several plans: the sub-layers that all of them run, and those that most of them skip."""

from collections.abc import Callable, Sequence

from spaces.plan import Block, Plan
from spaces.scope import Group

MOST = 0.8
"""Minimum fraction of the plans that counts as most of them."""
_SUB_LAYERS: dict[str, Callable[[Block, Group], bool]] = {
    "attention": lambda block, group: block.runs_attention(group),
    "FFN": lambda block, group: block.runs_ffn(group),
}


def run_shares(plans: Sequence[Plan]) -> dict[str, list[float]]:
    """Return, for `attention` and `FFN`, the fraction of plans that run it, per block.

    A plan that runs a sub-layer for one of the three token groups counts as one third, for two as two thirds.
    """
    groups = list(Group)
    return {
        name: [
            sum(runs(plan.blocks[index], group) for plan in plans for group in groups) / (len(plans) * len(groups))
            for index in range(len(plans[0]))
        ]
        for name, runs in _SUB_LAYERS.items()
    }


def agreement(plans: Sequence[Plan]) -> str:
    """Return one sentence or two on what these plans agree on; empty for fewer than two plans.

    Blocks are numbered from 0.
    """
    if len(plans) < 2:
        return ""
    shares = run_shares(plans)
    always = _listed(shares, lambda share: share == 1)
    mostly = _listed(shares, lambda share: 1 - share >= MOST - 1e-9)
    sentences = [
        f"All {len(plans)} plans run {always}." if always else "",
        f"At least {MOST:.0%} of the {len(plans)} plans skip {mostly}." if mostly else "",
    ]
    return " ".join(filter(None, sentences)) or f"The {len(plans)} plans agree on no sub-layer."


def _listed(shares: dict[str, list[float]], rule: Callable[[float], bool]) -> str:
    """Return the sub-layers whose fraction satisfies a rule as text; both sub-layers of a block as the block."""
    found = {name: {index for index, share in enumerate(each) if rule(share)} for name, each in shares.items()}
    whole = set.intersection(*found.values())
    named = [f"{_blocks(whole)}"] if whole else []
    named += [f"{name} of {_blocks(blocks - whole)}" for name, blocks in found.items() if blocks - whole]
    return " and ".join(filter(None, [", ".join(named[:-1]), *named[-1:]]))


def _blocks(numbers: set[int]) -> str:
    return f"block{'s' if len(numbers) > 1 else ''} {ranges(numbers)}"


def ranges(numbers: set[int]) -> str:
    """Return numbers as text with ranges, such as `0-3, 7`."""
    ordered = sorted(numbers)
    starts = [n for n in ordered if n - 1 not in numbers]
    ends = [n for n in ordered if n + 1 not in numbers]
    return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in zip(starts, ends, strict=True))
