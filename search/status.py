"""The command `python -m search.status`: shows the progress of a run, its running trials, and its latest events."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.command_line import Command

if TYPE_CHECKING:
    from search.storage.results import Results

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def status(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the progress of a run, its running trials and its latest events."""
    from search.console.terminal import one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        state = describe(open_results(out, storage))
        if as_json:
            print(json.dumps(state, indent=1))
            return
        counts = ", ".join(f"{count} {name}" for name, count in state["counts"].items())
        print(f"{state['run']}: {state['phase']}, {state['ended']} of {state['budget']} trials ended ({counts})")
        for running in state["running"]:
            print(f"running trial={running['number']} attempt={running['attempt']} plan={running['plan']}")
        for event in state["events"]:
            trial = "" if event["trial"] is None else f" trial={event['trial']}"
            print(f"{event['time']} {event['kind']}{trial}: {event['message']}")


def describe(results: "Results") -> dict[str, Any]:
    """Return counts per state, running trials and the latest events as JSON values."""
    counts = results.counts()
    if results.run.finished:
        phase = "finished"
    else:
        phase = "searching" if _held(results) else "stopped: run the same `search.run` command again to resume"
    return {
        "run": results.run.name,
        "phase": phase,
        "budget": results.run.settings["budget"],
        "ended": sum(counts.values()) - counts.get("running", 0),
        "counts": counts,
        "running": [
            {"number": number, "attempt": attempt, "plan": plan} for number, attempt, plan in results.running()
        ],
        "events": [
            {"time": f"{event.time:%Y-%m-%d %H:%M:%S}", "kind": event.kind, "trial": event.trial_number,
             "message": event.message}
            for event in results.events(limit=10)
        ],
    }  # fmt: skip


def _held(results: "Results") -> bool:
    """Return True if a controller holds the lease on the run."""
    from search.storage.database_url import file_of
    from search.storage.lease import database_scope, holder

    file = file_of(results.engine.url)
    return holder(results.engine, results.run.uid if file is None else database_scope(file)) is not None


if __name__ == "__main__":
    app()
