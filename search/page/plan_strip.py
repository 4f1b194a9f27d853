"""A plan as a small picture in HTML: one column per block, attention above, FFN below."""

from collections.abc import Callable

from markupsafe import Markup, escape

from search.page.colors import FFN_ONLY, INK, MUTED, WHOLE
from spaces.plan import Block, Plan
from spaces.plan_words import plan_words
from spaces.scope import Group


def plan_strip(plan: Plan) -> Markup:
    """Return an SVG image whose alternative text is the plan in words.

    A sub-layer that runs is a full bar, one that runs for some tokens a low one, and one that is skipped a line.
    """
    return Markup(
        '<svg class="strip" role="img" aria-label="{label}" viewBox="0 0 {width} 21" preserveAspectRatio="none" '
        'style="--blocks:{blocks}"><title>{label}</title>{bars}</svg>'
    ).format(label="; ".join(plan_words(plan)), width=10 * len(plan), blocks=len(plan), bars=Markup(_bars(plan)))


def plan_svg(plan: Plan) -> str:
    """Return the same picture as an SVG file that needs no style sheet, with blocks numbered from 0."""
    width, every = 10 * len(plan), 4 if len(plan) <= 40 else 10
    numbers = "".join(
        f'<text x="{10 * block + 5}" y="30" text-anchor="middle">{block}</text>' for block in range(0, len(plan), every)
    )
    words = escape("; ".join(plan_words(plan)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-44 -6 {width + 50} 42" width="{3 * (width + 50)}" '
        f'height="126"><title>{words}</title><style>text{{font:7px sans-serif;fill:{INK}}}'
        f".runs{{fill:{WHOLE}}}.partly{{fill:{FFN_ONLY}}}.skipped{{fill:{MUTED}}}</style>"
        f'<rect x="-44" y="-6" width="{width + 50}" height="42" fill="white"/>'
        f'<text x="-4" y="8" text-anchor="end">attention</text><text x="-4" y="19" text-anchor="end">FFN</text>'
        f"{_bars(plan)}{numbers}</svg>"
    )


def _bars(plan: Plan) -> str:
    return "".join(
        _bar(number, top, share)
        for number, block in enumerate(plan.blocks)
        for top, share in zip((0, 11), run_shares_of(block), strict=True)
    )


def run_shares_of(block: Block) -> tuple[float, float]:
    """Return the share of the groups of tokens that attention and FFN of a block run for."""
    return _share(block.runs_attention), _share(block.runs_ffn)


def _share(runs: Callable[[Group], bool]) -> float:
    return sum(runs(group) for group in Group) / len(Group)


def _bar(number: int, top: int, share: float) -> str:
    kind, height = ("runs", 10.0) if share == 1 else ("partly", 5.0) if share else ("skipped", 1.5)
    place = f'x="{10 * number + 0.7:.1f}" y="{top + 10 - height:.1f}"'
    return f'<rect class="{kind}" {place} width="8.6" height="{height}"/>'
