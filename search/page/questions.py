"""Section "Questions": what a plan per question saves, beside one plan for all."""

from collections.abc import Iterator
from typing import Any

from search.page.routed_examples import routed_examples
from search.page.routed_figures import fronts_figure, kinds_figure
from search.page.run_facts import RunFacts
from search.page.section import Chart, Command, Piece, Section, Table, Text
from search.routing.decisions import LEVEL, OLDER
from search.routing.result import summary_level


def questions(run: RunFacts) -> Section:
    """Return the section."""
    return Section("questions", "What a plan per question saves", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    found = run.routing
    if found is None:
        yield Text("No router was trained on this run.")
        if run.front:
            yield Command(f"python -m search.route {run.where}", "Learn which plan answers which question")
        return
    if run.results.routing_is_older():
        yield Text(OLDER)
    router = found["router"]
    if not router["used"]:
        yield Text("A router was trained. It knows nothing that mixing plans at random does not: one plan serves all.")
        return
    level = summary_level(found)
    if level is not None:
        yield Text(_summary(level), strong=True)
    yield Chart(
        fronts_figure(found), "Accuracy against mean FLOPs on the test split: one plan, and a plan per question."
    )
    yield Text(
        f"A router of {len(router['trials'])} plans reads the {router['inputs']} of a question before the language "
        "model runs. Fronts are chosen on the search split and measured on the test split, with the router's FLOPs."
    )
    yield _levels(found["levels"])
    if level is not None:
        label = f"Shares of the questions of each kind that each plan answers, at {LEVEL:.0%} of dense."
        yield Chart(kinds_figure(found, level), label)
        yield _kinds(level)
    yield from routed_examples(run)


def _summary(level: dict[str, Any]) -> str:
    routed, (low, high) = level["adaptive"], level["adaptive"]["difference_interval"]
    return (
        f"At {LEVEL:.0%} of the dense accuracy, by the search split, a plan per question saves "
        f"{routed['saved']:.0%} of the FLOPs of the best single plan; accuracy on test {routed['accuracy']:.3f}, "
        f"{100 * routed['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]."
    )


def _levels(levels: list[dict[str, Any]]) -> Table:
    rows = []
    for level in levels:
        one, routed = level["static"], level["adaptive"]
        low, high = routed["saved_interval"]
        rows.append([
            f"{level['share_of_dense']:.0%}", f"{one['accuracy']:.3f}", f"{one['flops_ratio']:.3f}",
            f"{routed['accuracy']:.3f}", f"{routed['flops_ratio']:.3f}",
            f"{routed['saved']:.1%} [{low:.1%}, {high:.1%}]",
        ])  # fmt: skip
    headings = ("of dense", "accuracy, one plan", "FLOPs", "accuracy, routed", "FLOPs", "saved [95 %]")
    return Table(headings, rows, "The cheapest way to keep a share of the dense accuracy, by the search split")


def _kinds(level: dict[str, Any]) -> Table:
    plans = level["adaptive"]["plans"]
    rows = [
        [kind or "all", ", ".join(f"{share:.0%} trial {trial}" for trial, share in shares.items())]
        for kind, shares in plans.items()
    ]
    return Table(("kind", "plans of its questions"), rows, f"Which kinds take which plan, at {LEVEL:.0%} of dense")
