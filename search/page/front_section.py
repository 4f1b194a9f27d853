"""Section "Front": accuracy against FLOPs, and against latency where it was measured, with references."""

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup
from plotly import graph_objects as go

from search.analysis.latency_notes import latency_notes
from search.console.front_columns import measured_text, predicted_text, speedup_text
from search.page.charts import chart, note
from search.page.colors import FRONT, INK, MUTED, REFERENCE, TRIAL
from search.page.hover import front_hover, short_plan, trial_hover
from search.page.numbers import Trial, accuracy, difference, latency, milliseconds, weights
from search.page.plan_strip import plan_strip
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Table, Text
from search.storage.results import TrialRecord
from spaces.plan import Plan

BASELINE = "baseline "
"""Start of the origin of a hand-made plan."""


def front_section(run: RunFacts) -> Section:
    """Return the section."""
    return Section("front", "Front", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    measured = [record for record in run.records if record.on("search")]
    if not measured:
        yield Text("No trial has finished a rung yet.")
        return
    latencies = [trial for trial in _shown(run) if latency(trial, "prefill") is not None]
    yield Chart(
        _against_flops(run, measured),
        f"Accuracy on the search split against {run.summary['cost']}: all trials, the front, the dense model, the "
        "floor and hand-made patterns.",
        run.summary["cost"],
    )
    for step, name in (("prefill", "latency to the first token"), ("decode", "latency per further token")):
        if latencies:
            yield Chart(
                _against_latency(run, latencies, step, name), f"Accuracy on the test split against {name}.", name
            )
    if run.front:
        yield _table(run)
    for line in latency_notes(run.summary["front"]):
        yield Text(f"{line}.")


def _shown(run: RunFacts) -> list[Trial]:
    """Return the trials of the front and the dense one, cheapest first."""
    front, dense = list(run.summary["front"]), run.summary["dense"]
    return [*front, *([dense] if dense and all(dense["number"] != trial["number"] for trial in front) else [])]


def _against_flops(run: RunFacts, measured: Sequence[TrialRecord]) -> go.Figure:
    figure = chart(
        f"{run.summary['cost']} per question, share of the dense model's",
        f"accuracy on the search split ({run.metric}, 0 to 1)",
        height=520,
        xaxis_tickformat=".0%",
    )
    members = {record.trial.number for record in run.front}
    others = [r for r in measured if r.trial.number not in members and not r.trial.origin.startswith(BASELINE)]
    ended = [record for record in others if record.is_complete]
    _add_trials(figure, [r for r in others if not r.is_complete], "stopped early", "x-thin", MUTED)
    _add_trials(figure, ended, "finished", "circle-open", TRIAL)
    _add_trials(figure, _patterns(measured, members), "hand-made patterns", "diamond-open", REFERENCE)
    _add_front(figure, run)
    if run.dense is not None:
        _add_trials(figure, [run.dense], "dense", "star", INK)
    if floor := run.summary["floor"]:
        note(figure, floor["accuracy"], f"floor {floor['accuracy']:.3f}", MUTED, "dot")
    return figure


def _patterns(measured: Sequence[TrialRecord], members: set[int]) -> list[TrialRecord]:
    """Return the hand-made plans that were measured and are not on the front, without the dense one."""
    own = [record for record in measured if record.trial.origin.startswith(BASELINE) and not record.plan.is_dense]
    return [record for record in own if record.trial.number not in members]


def _add_trials(figure: go.Figure, records: Sequence[TrialRecord], name: str, symbol: str, color: str) -> None:
    if not records:
        return
    last = [record.on("search")[-1] for record in records]
    size = 13 if symbol == "star" else 9 if "diamond" in symbol else 7
    figure.add_scatter(
        x=[rung.flops_ratio for rung in last],
        y=[rung.accuracy for rung in last],
        mode="markers",
        name=f"{name} ({len(records)})" if name != "dense" else name,
        marker={"symbol": symbol, "color": color, "size": size, "line": {"width": 1.4, "color": color}},
        hovertext=[trial_hover(record) for record in records],
        hoverinfo="text",
    )


def _add_front(figure: go.Figure, run: RunFacts) -> None:
    if not (trials := run.summary["front"]):
        return
    tested = [trial for trial in trials if trial["test"]]
    if tested:
        figure.add_scatter(
            x=[trial["cost_ratio"] for trial in tested],
            y=[trial["test"]["accuracy"] for trial in tested],
            error_y=_intervals(tested),
            mode="markers",
            name="front on test, 95 %",
            marker={"symbol": "line-ew", "size": 9, "color": INK, "line": {"width": 1.6, "color": INK}},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=[trial["cost_ratio"] for trial in trials],
        y=[trial["accuracy"] for trial in trials],
        mode="lines+markers",
        line={"shape": "hv", "color": FRONT, "width": 2},
        name=f"front ({len(trials)})",
        marker={"symbol": "circle", "size": 9, "color": FRONT},
        hovertext=[front_hover(run, trial) for trial in trials],
        hoverinfo="text",
        meta="front",
    )


def _intervals(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the error bars of the accuracies on test."""
    above = [trial["test"]["interval"][1] - trial["test"]["accuracy"] for trial in trials]
    below = [trial["test"]["accuracy"] - trial["test"]["interval"][0] for trial in trials]
    return {"array": above, "arrayminus": below, "color": INK, "thickness": 1, "width": 3}


def _against_latency(run: RunFacts, trials: Sequence[Trial], step: str, name: str) -> go.Figure:
    figure = chart(
        f"{name} in ms, median on the worker's device", f"accuracy on test ({run.metric}, 0 to 1)", height=520
    )
    dense = run.summary["dense"]
    for is_dense, label, color, symbol in ((False, "front", FRONT, "circle"), (True, "dense", INK, "star")):
        own = [trial for trial in trials if (dense is not None and trial["number"] == dense["number"]) is is_dense]
        if own:
            figure.add_scatter(
                x=[latency(trial, step) for trial in own],
                y=[trial["test"]["accuracy"] for trial in own],
                error_y=_intervals(own) | {"color": color},
                mode="markers",
                name=label,
                marker={"symbol": symbol, "size": 13 if is_dense else 9, "color": color},
                hovertext=[front_hover(run, trial) for trial in own],
                hoverinfo="text",
                meta=label,
            )
    return figure


def _table(run: RunFacts) -> Table:
    places = {trial["number"]: place for place, trial in enumerate(run.summary["front"])}
    return Table(
        ("trial", "plan", "FLOPs", "accuracy [95 %]", "against dense [95 %]", "prefill", "per token", "predicted",
         "measured", "speed-up [quartiles]", "weights", "found by"),
        [_row(trial) for trial in _shown(run)],
        "The front, cheapest first, then the dense model. Upper bars are attention, lower bars FFN; a line is skipped.",
        points=[places.get(trial["number"], -1) for trial in _shown(run)],
    )  # fmt: skip


def _row(trial: Trial) -> list[str]:
    plan = Plan.parse(trial["plan"])
    return [
        f"dense {trial['number']}" if plan.is_dense else str(trial["number"]),
        Markup("<div>{}<code>{}</code></div>").format(plan_strip(plan), short_plan(trial["plan"])),
        f"{trial['flops_ratio']:.1%}",
        accuracy(trial),
        difference(trial),
        milliseconds(latency(trial, "prefill")),
        milliseconds(latency(trial, "decode")),
        predicted_text(trial),
        measured_text(trial),
        speedup_text(trial),
        weights(trial),
        trial["origin"],
    ]
