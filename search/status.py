"""The command `python -m search.status`: shows how far a run is, its failures, speed, best plans, and latest events."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    """Show how far a run is: trials, failures by reason, rate, time left, workers, best plans and latest events."""
    from search.console.terminal import one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        from search.analysis.run_status import run_status
        from search.console.status_lines import status_lines

        results = open_results(out, storage)
        state = run_status(results, _held(results))
        for line in [json.dumps(state, indent=1)] if as_json else status_lines(state):
            print(line)


def _held(results: "Results") -> bool:
    """Return True if a controller holds the lease on the run."""
    from search.storage.database_url import file_of
    from search.storage.lease import database_scope, holder

    file = file_of(results.engine.url)
    return holder(results.engine, results.run.uid if file is None else database_scope(file)) is not None


if __name__ == "__main__":
    app()
