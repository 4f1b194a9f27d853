"""Section "Costs": what the suggested plans save, part by part, and what the search itself has used."""

import math
from collections import Counter
from collections.abc import Iterator

from plotly import graph_objects as go

from search.analysis.explain import PARTS
from search.console.front_columns import BYTE_UNITS, FLOPS_UNITS, in_units
from search.page.charts import chart, pattern_of
from search.page.colors import ATTENTION_ONLY, FFN_ONLY, MUTED, REFERENCE, WHOLE
from search.page.numbers import duration, latency, milliseconds
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section, Table, Text
from search.storage.results import TrialRecord

LOOKS = {
    "flops_vision": (REFERENCE, "."),
    "flops_projector": (MUTED, "x"),
    "flops_prefill": (WHOLE, ""),
    "flops_decode": (ATTENTION_ONLY, "/"),
    "flops_head": (FFN_ONLY, "-"),
}
"""Colour and pattern per part of the model."""


def costs(run: RunFacts) -> Section:
    """Return the section."""
    return Section("costs", "What it costs", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    if run.dense is None:
        yield Text("The dense model has not finished yet, so there is nothing to compare costs with.")
    else:
        shown = {"dense": run.dense} | {f"trial {choice.record.trial.number}": choice.record for choice in run.choices}
        yield Chart(_figure(shown), "FLOPs per question by part of the model: dense and the suggested plans.")
        yield _ledger(run, shown)
    yield from _search_costs(run)


def _costs(record: TrialRecord) -> dict[str, float]:
    return record.on("search")[-1].costs


def _figure(shown: dict[str, TrialRecord]) -> go.Figure:
    largest = max(record.on("search")[-1].flops for record in shown.values())
    place = min(int(math.log10(max(largest, 1)) // 3), len(FLOPS_UNITS) - 1)
    figure = chart(f"{FLOPS_UNITS[place]} per question", "", height=140 + 36 * len(shown), barmode="stack", bargap=0.3)
    for key, part in PARTS.items():
        values = [_costs(record).get(key, 0) for record in shown.values()]
        color, pattern = LOOKS[key]
        pairs = zip(shown, values, strict=True)
        if any(values):
            figure.add_bar(
                x=[value / 1000**place for value in values],
                y=list(shown),
                orientation="h",
                name=part,
                marker={"color": color, "pattern": pattern_of(pattern)},
                hovertext=[f"{name}, {part}: {in_units(value, FLOPS_UNITS)}" for name, value in pairs],
                hoverinfo="text",
            )
    figure.update_yaxes(showgrid=False, autorange="reversed", title=None)
    figure.update_layout(legend_traceorder="normal")
    return figure


def _ledger(run: RunFacts, shown: dict[str, TrialRecord]) -> Table:
    def row(name: str, cells: list[str]) -> list[str]:
        return [name, *cells]

    rows = [
        row(f"FLOPs, {part}", [in_units(_costs(record)[key], FLOPS_UNITS) for record in shown.values()])
        for key, part in PARTS.items()
        if _costs(next(iter(shown.values()))).get(key)
    ]
    rows.append(row("FLOPs, all", [_total(record) for record in shown.values()]))
    rows.append(row("weights of the decoder", [_bytes(record, "parameter_bytes") for record in shown.values()]))
    rows.append(row("KV cache per token", [_bytes(record, "kv_bytes_per_token") for record in shown.values()]))
    rows.append(row("depth", [f"{_costs(record)['depth']} sub-layers" for record in shown.values()]))
    for step, name in (("prefill", "latency to the first token"), ("decode", "latency per further token")):
        cells = [milliseconds(latency(run.described(record.trial.number), step)) for record in shown.values()]
        if any(cells):
            rows.append(row(name, cells))
    work = run.summary["origin"].get("workload", {})
    tokens = [f"{work[f'{kind}_tokens']:g} {kind}" for kind in ("visual", "text", "generated") if work]
    return Table(
        ("per question", *shown), rows, f"Ledger for a question of {', '.join(tokens)} tokens" if work else "Ledger"
    )


def _total(record: TrialRecord) -> str:
    rung = record.on("search")[-1]
    return f"{in_units(rung.flops, FLOPS_UNITS)} ({rung.share_of_flops:.1%})"


def _bytes(record: TrialRecord, key: str) -> str:
    return in_units(_costs(record)[key], BYTE_UNITS)


def _search_costs(run: RunFacts) -> Iterator[Piece]:
    """Yield what the search itself has used: time of the workers by step."""
    spent: Counter[str] = Counter()
    for record in run.records:
        for rung in record.rungs:
            for step, seconds in rung.metrics["seconds"].items():
                spent["test" if rung.split == "test" else step] += seconds
    total = sum(spent.values())
    if not total:
        return
    rows = [
        [step, duration(seconds), f"{seconds / total:.0%}"] for step, seconds in spent.most_common() if seconds > 0.05
    ]
    yield Text(f"The search has used {duration(total)} of its workers' time, that of the final test included.")
    yield Table(("step", "time of all workers", "share"), rows, "Time of the search by step", folded=True)
