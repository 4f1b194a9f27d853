"""Section "Plans": which blocks the plans of the front run, as a map of blocks by plans, and what they agree on."""

from collections.abc import Iterator, Sequence

from plotly import graph_objects as go

from search.page.charts import chart, pattern_of
from search.page.colors import ATTENTION_ONLY, FFN_ONLY, FRONT, GRID, PARTLY, SKIPPED, TRIAL, WHOLE
from search.page.plan_strip import run_shares_of
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Text
from search.storage.results import TrialRecord
from spaces.agreement import agreement, run_shares
from spaces.plan import Block, Op

KINDS = (
    (SKIPPED, "block skipped"),
    (PARTLY, "for some tokens only"),
    (FFN_ONLY, "FFN only"),
    (ATTENTION_ONLY, "attention only"),
    (WHOLE, "whole block"),
)
"""Colour and name of what runs of a block, least first; a cell of the map holds its place here."""
PAIRED = "whole block, in parallel"
ROW = 22
"""Height of a row of the map in pixels."""


def plans(run: RunFacts) -> Section:
    """Return the section."""
    return Section("plans", "What the plans skip", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    shown = [record for record in run.front if not record.plan.is_dense]
    if not shown:
        yield Text("The front has no plan beside the dense model yet.")
        return
    if sentence := agreement(run.plans):
        yield Text(sentence, strong=True)
    yield Chart(_map(shown), "Map of the blocks that each plan of the front runs, from the cheapest plan up and from "
                "the first block to the last; the text of a cell is its op.")  # fmt: skip
    yield Text(
        "One row per plan, the most expensive on top; the legend orders the shades from all of a block to none of it. "
        "Letters are the ops: a attention skipped, f FFN skipped, b block skipped, p both in parallel, c "
        "cross-attention skipped, ( ) a pair; v, t and g restrict them to visual, prompt and generated tokens."
    )
    if len(shown) > 1:
        yield Chart(_agreement(run), "Share of the front's plans that run attention and FFN, per block.")


def _map(records: Sequence[TrialRecord]) -> go.Figure:
    blocks = range(len(records[0].plan))
    figure = chart("block, from 0", "trial (FLOPs)", height=110 + ROW * len(records))
    rows = [record.plan.blocks for record in records]
    figure.add_heatmap(
        z=[[_kind(block) for block in row] for row in rows],
        x=list(blocks),
        y=[_name(record) for record in records],
        text=[[_letter(block) for block in row] for row in rows],
        texttemplate="%{text}",
        hovertext=[[f"block {number}: {_words(block)}" for number, block in enumerate(row)] for row in rows],
        hovertemplate="trial %{y}<br>%{hovertext}<extra></extra>",
        colorscale=[[(place + edge) / len(KINDS), color] for place, (color, _) in enumerate(KINDS) for edge in (0, 1)],
        zmin=-0.5,
        zmax=len(KINDS) - 0.5,
        xgap=1.5,
        ygap=1.5,
        showscale=False,
    )
    for color, name in reversed(KINDS):
        if any(KINDS[_kind(block)][0] == color for row in rows for block in row):
            square = {"symbol": "square", "size": 12, "color": color, "line": {"width": 1, "color": GRID}}
            figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker=square)
    figure.update_xaxes(showgrid=False, dtick=max(1, len(blocks) // 12))
    figure.update_yaxes(showgrid=False, type="category", title=None)
    return figure


def _name(record: TrialRecord) -> str:
    return f"{record.trial.number} ({record.on('search')[-1].share_of_flops:.0%})"


def _kind(block: Block) -> int:
    """Return the place of a block in `KINDS`."""
    attention, ffn = run_shares_of(block)
    if 0 < attention < 1 or 0 < ffn < 1:
        return 1
    return {(0, 0): 0, (0, 1): 2, (1, 0): 3, (1, 1): 4}[int(attention), int(ffn)]


def _letter(block: Block) -> str:
    """Return the op, scope and pruning of a block as in the text of its plan; nothing for a block that is kept."""
    return "" if block.is_kept else block.op.char + block.scope.mark + ("*" if block.pruning_mark else "")


def _words(block: Block) -> str:
    kept = "whole" if block.op is Op.KEEP else block.name
    return f"{kept} {block.pruning_mark}".strip()


def _agreement(run: RunFacts) -> go.Figure:
    figure = chart(
        "block, from 0", "share of the front's plans", height=300, barmode="group", yaxis_tickformat=".0%",
        yaxis_range=[0, 1.02], bargap=0.25,
    )  # fmt: skip
    looks = {"attention": (TRIAL, ""), "FFN": (FRONT, "/")}
    for name, shares in run_shares(run.plans).items():
        color, pattern = looks[name]
        figure.add_bar(
            x=list(range(len(shares))),
            y=shares,
            name=f"runs {name}",
            marker={"color": color, "pattern": pattern_of(pattern)},
            hovertemplate="block %{x}: %{y:.0%} of the plans run its " + name + "<extra></extra>",
        )
    figure.update_xaxes(showgrid=False, dtick=max(1, len(run.plans[0]) // 12))
    return figure
