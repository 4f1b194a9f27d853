"""A plan as a small picture in HTML: one column per block, attention above, FFN below."""

from collections.abc import Callable

from markupsafe import Markup

from spaces.plan import Block, Plan
from spaces.plan_words import plan_words
from spaces.scope import Group


def plan_strip(plan: Plan) -> Markup:
    """Return an SVG image whose alternative text is the plan in words.

    A sub-layer that runs is a full bar, one that runs for some tokens a low one, and one that is skipped a line.
    """
    bars = "".join(
        _bar(number, top, share)
        for number, block in enumerate(plan.blocks)
        for top, share in zip((0, 11), run_shares_of(block), strict=True)
    )
    return Markup(
        '<svg class="strip" role="img" aria-label="{label}" viewBox="0 0 {width} 21" preserveAspectRatio="none" '
        'style="--blocks:{blocks}"><title>{label}</title>{bars}</svg>'
    ).format(label="; ".join(plan_words(plan)), width=10 * len(plan), blocks=len(plan), bars=Markup(bars))


def run_shares_of(block: Block) -> tuple[float, float]:
    """Return the share of the groups of tokens that attention and FFN of a block run for."""
    return _share(block.runs_attention), _share(block.runs_ffn)


def _share(runs: Callable[[Group], bool]) -> float:
    return sum(runs(group) for group in Group) / len(Group)


def _bar(number: int, top: int, share: float) -> str:
    kind, height = ("runs", 10.0) if share == 1 else ("partly", 5.0) if share else ("skipped", 1.5)
    place = f'x="{10 * number + 0.7:.1f}" y="{top + 10 - height:.1f}"'
    return f'<rect class="{kind}" {place} width="8.6" height="{height}"/>'
