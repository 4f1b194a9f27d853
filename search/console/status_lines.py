"""The state of a run as lines of text, none of them broken or cut."""

from collections.abc import Iterator
from typing import Any

from search.console.aligned import Column, aligned
from search.console.durations import clock

STATES = ("complete", "stopped", "failed", "running")


def status_lines(state: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a state that `search.analysis.run_status.run_status` returns."""
    counts = ", ".join(f"{state['counts'][name]} {name}" for name in STATES if state["counts"].get(name))
    yield f"{state['run']}: {state['phase']}"
    yield f"{state['ended']} of {state['budget']} trials ended ({counts or 'none started'})"
    if tests := state["tests"]:
        yield f"{tests['ended']} of {tests['total']} tests of the front ended"
    if speed := _speed(state):
        yield speed
    yield _workers(state["workers"])
    for trial in state["running"]:
        attempt = f", attempt {trial['attempt']}" if trial["attempt"] > 1 else ""
        yield f"  running for {clock(trial['seconds'])}: trial={trial['number']}{attempt} plan={trial['plan']}"
    yield from _failures(state["failures"])
    yield from _best(state)
    if state["events"]:
        yield "latest events (UTC):"
    for event in state["events"]:
        trial = "" if event["trial"] is None else f" trial={event['trial']}"
        yield f"  {event['time']} {event['kind']}{trial}: {event['message']}"


def _speed(state: dict[str, Any]) -> str:
    found = []
    if rate := state["trials_per_minute"]:
        found.append(f"{rate:.3g} trials/min" if rate >= 1 else f"{60 * rate:.3g} trials/h")
    if state["eta_seconds"] is not None:
        found.append(f"about {clock(state['eta_seconds'])} left, final tests included")
    return ", ".join(found)


def _workers(workers: dict[str, Any]) -> str:
    on = f" on {', '.join(workers['devices'])}" if workers["devices"] else ""
    return f"{workers['number']} worker{'s' if workers['number'] > 1 else ''}{on}, {workers['busy']} with a trial"


def _failures(failures: list[dict[str, Any]]) -> Iterator[str]:
    if failures:
        yield "failures by reason:"
    for each in failures:
        yield f"  {each['count']} x {each['reason']} (last: trial {each['last_trial']})"


def _best(state: dict[str, Any]) -> Iterator[str]:
    """Yield the cheapest plan per share of the dense accuracy; plans last, since they may be long."""
    if not state["front"]:
        return
    floor = "" if state["floor"] is None else f" above the floor of {state['floor']:.3f}"
    yield f"front of {len(state['front'])} plans, hypervolume {state['hypervolume']:.4f}{floor}"
    rows = [
        [str(each["number"]), f"{each['retention']:.1%}", f"{each['accuracy']:.3f}", f"{each['flops_ratio']:.1%}",
         each["plan"]]
        for each in state["best"]
    ]  # fmt: skip
    if rows:
        columns = [
            Column("trial"),
            Column("of dense"),
            Column("accuracy"),
            Column(state["cost"]),
            Column("plan", "left"),
        ]
        yield "cheapest plans that keep most of the dense accuracy (search split):"
        yield from (f"  {line}" for line in aligned(columns, rows))
