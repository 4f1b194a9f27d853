"""The command `python -m workers request.json`: runs one trial outside a search and prints its report as JSON."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from workers.data.load_split import load_split
from workers.data.pick_metric import pick_metric
from workers.describe import check_fit, describe_model
from workers.reports import RungReport, TrialReport, TrialState
from workers.requests import TrialRequest

app = typer.Typer(add_completion=False)


@app.command()
def main(
    request: Annotated[str, typer.Argument(help="A request as JSON: a file, or - for standard input.")],
    indent: Annotated[int | None, typer.Option(help="Indentation of the report in spaces; 0 for one line.")] = 2,
    verbose: Annotated[bool, typer.Option(help="Log the steps of the worker to standard error.")] = False,
) -> None:
    """Run one trial and print its report; the exit code is 0, 1 for a failed trial, 2 for a bad request."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    try:
        report = _run(read_request(request))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    print(report.model_dump_json(indent=indent or None))
    if report.state == TrialState.FAILED:
        raise typer.Exit(1)


def read_request(place: str) -> TrialRequest:
    """Return the request in a file or on standard input (`-`).

    Raises:
        ValueError: the file can't be read or is not a request; one line.
    """
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"a request must be a readable file or -, got {place!r} ({error.strerror})") from error
    try:
        return TrialRequest.model_validate_json(text)
    except ValidationError as error:
        first, more = error.errors()[0], error.error_count() - 1
        field = ".".join(map(str, first["loc"])) or "the request"
        others = f" (and {more} more)" if more else ""
        raise ValueError(f"{place}: {field}: {first['msg']}{others}") from error


def _run(request: TrialRequest) -> TrialReport:
    # Mistakes of the user are reported before torch is imported.
    check_fit(describe_model(request.model), request)
    pick_metric(load_split(request.data, "search"), request.metric)
    from workers.trial import Worker, run_trial

    worker = Worker()
    worker.load(request)
    return run_trial(worker, request, _log)


def _log(rung: RungReport) -> bool:
    logging.getLogger("workers").info(
        "rung %d: accuracy %.4f on %d questions of %s", rung.rung, rung.accuracy, rung.questions, rung.split
    )
    return True


if __name__ == "__main__":
    app()
