"""Section "Rungs": whether cheap measurements rank plans as expensive ones do."""

from collections.abc import Iterator, Mapping, Sequence

from plotly import graph_objects as go

from search.analysis.rank_flips import rank_flips
from search.page.charts import chart
from search.page.colors import MUTED, TRIAL
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Table, Text
from search.storage.results import TrialRecord
from search.storage.tables import RungResult


def rungs(run: RunFacts) -> Section:
    """Return the section."""
    return Section("rungs", "Whether cheap rungs can be trusted", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    if run.num_rungs < 2:
        yield Text("Trials of this run have a single rung.")
        return
    flips = rank_flips(run.records)
    if not flips:
        yield Text("Fewer than ten trials have finished two rungs, too few to compare them.")
        return
    yield Table(
        ("measurements", "Kendall's tau (-1 to 1)", "pairs of similar cost that flip", "trials", ""),
        [
            [
                f"{each.before} → {each.after}", f"{each.tau:.2f}",
                "no such pair" if each.flipped is None else f"{each.flipped:.0%}", str(each.trials),
                "⚠ misleads" if each.misleads else "✓",
            ]
            for each in flips
        ],
        "Agreement of measurements of the same plans. Tau is 1 for the same order; by chance half of all pairs flip",
    )  # fmt: skip
    for low in range(run.num_rungs - 1):
        pairs = _pairs(run.records, low)
        if pairs:
            yield Chart(_scatter(pairs, low), f"Accuracy at rung {low + 1} against accuracy at rung {low}.", half=True)


def _pairs(records: Sequence[TrialRecord], low: int) -> list[tuple[TrialRecord, RungResult, RungResult]]:
    found = []
    for record in records:
        by_rung: Mapping[int, RungResult] = {rung.rung: rung for rung in record.on("search")}
        if low in by_rung and low + 1 in by_rung:
            found.append((record, by_rung[low], by_rung[low + 1]))
    return found


def _scatter(pairs: Sequence[tuple[TrialRecord, RungResult, RungResult]], low: int) -> go.Figure:
    titles = [
        f"accuracy at rung {rung.rung}: {rung.tuning_steps} steps, {rung.questions} questions" for rung in pairs[0][1:]
    ]
    figure = chart(titles[0], titles[1], height=340)
    before, after = [first.accuracy for _, first, _ in pairs], [second.accuracy for _, _, second in pairs]
    ends = [min(*before, *after), max(*before, *after)]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": MUTED, "width": 1, "dash": "dot"}, name="equal", hoverinfo="skip"
    )
    figure.add_scatter(
        x=before,
        y=after,
        mode="markers",
        name=f"trials ({len(pairs)})",
        marker={"symbol": "circle-open", "color": TRIAL, "size": 7, "line": {"width": 1.4}},
        customdata=[[pair[0].trial.number, pair[0].trial.plan] for pair in pairs],
        hovertemplate="trial %{customdata[0]}<br>%{customdata[1]}<br>%{x:.3f} → %{y:.3f}<extra></extra>",
    )
    return figure
