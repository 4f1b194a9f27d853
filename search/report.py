"""The command `python -m search.report`: shows the front of a run as table, picture, page or files, and answers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.command_line import Command
from search.console.front_columns import SORTS

if TYPE_CHECKING:
    from search.storage.results import Results, TrialRecord

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def report(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON (docs/report.md).")] = False,
    sort: Annotated[str | None, typer.Option(help=f"Order of the rows: {', '.join(SORTS)}.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all trials to this file, one per row.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write all trials to this file, one per row.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one page that needs nothing else (docs/page.md).")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="File of the picture. Default: front.png in the folder of the run.")
    ] = None,
    request: Annotated[int | None, typer.Option(help="Print the request of this trial for python -m workers.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Show this many answers beside the dense model's, losses first.")
    ] = None,
    samples_to: Annotated[Path | None, typer.Option(help="Write the answers of the front as JSON lines.")] = None,
    trial: Annotated[
        int | None,
        typer.Option(help="Trial of --samples (default: the knee) and --samples-to (default: the whole front)."),
    ] = None,
) -> None:
    """Show what a run has found so far."""
    from search.analysis.summary import summarize
    from search.console.terminal import one_line_errors
    from search.page.run_facts import options_of
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        if request is not None:
            _print_request(results.records(), request)
        elif samples is not None or samples_to is not None:
            _show_samples(results, samples, samples_to, trial)
        elif csv is not None or parquet is not None:
            _write_tables(results, [file for file in (csv, parquet) if file is not None])
        elif html is not None:
            _write_page(results, html, out, storage)
        elif as_json:
            print(json.dumps(summarize(results), indent=1))
        else:
            _show_front(results, picture or out / "front.png", sort, options_of(out, storage))


def _print_request(records: list["TrialRecord"], number: int) -> None:
    found: list[dict[str, Any]] = [each.trial.request for each in records if each.trial.number == number]
    if not found:
        raise ValueError(f"--request must be the number of a trial, got {number}: there are {len(records)}")
    print(json.dumps(found[0], indent=1))


def _show_samples(results: "Results", count: int | None, file: Path | None, trial: int | None) -> None:
    from search.console.samples import samples_table, write_samples
    from search.console.terminal import console

    records = results.records()
    if count is not None:
        console().print(samples_table(results, records, count, trial))
    if file is not None:
        print(f"{write_samples(results, records, trial, file)} answers: {file}")


def _write_tables(results: "Results", files: list[Path]) -> None:
    from search.analysis.frames import trials_frame, write_frame
    from search.analysis.summary import limits_of

    records = results.records()
    frame = trials_frame(records, limits_of(results.run, records))
    for file in files:
        write_frame(frame, file)
        print(f"{len(frame)} trials: {file}")


def _write_page(results: "Results", file: Path, out: Path, storage: str | None) -> None:
    from search.page.render import render
    from search.page.run_facts import RunFacts, options_of

    try:
        size = file.write_text(render(RunFacts(results, options_of(out, storage))).page(), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"--html must be a writable file, got {file} ({error.strerror}): name another") from None
    print(f"{size / 1e6:.1f} MB: {file}")


def _show_front(results: "Results", picture: Path, sort: str | None, where: str) -> None:
    from search.analysis.latency_notes import latency_notes
    from search.analysis.rank_flips import rank_flips
    from search.analysis.signals import signals_line
    from search.analysis.summary import limits_of, summarize
    from search.console.closing import choice_lines, hypervolumes, print_choices
    from search.console.front_picture import draw_front
    from search.console.front_table import front_table
    from search.console.routing import is_shown, routing_text
    from search.console.samples import dense_note, metric_line
    from search.console.terminal import console, say
    from search.routing.decisions import OLDER

    records, summary, printer = results.records(), summarize(results), console()
    table = front_table(summary, printer.width, sort)
    draw_front(records, summary, picture)
    printer.print(table, soft_wrap=False)
    for flips in rank_flips(records):
        if flips.misleads:
            say(printer, str(flips), style="yellow")
    if (line := signals_line(summary["signals"])) is not None:
        say(printer, line, style="yellow")
    if (line := metric_line(summary["settings"]["metric"])) is not None:
        say(printer, line)
    if (note := dense_note(results, records)) is not None:
        say(printer, note, style="red")
    for line in latency_notes(summary["front"]):
        say(printer, line)
    if is_shown(summary["routing"]):
        printer.print(routing_text(summary["routing"]), soft_wrap=True)
        if results.routing_is_older():
            say(printer, OLDER, style="yellow")
    say(printer, f"{hypervolumes(summary)}.")
    printer.print(f"Picture: {picture}", soft_wrap=True, markup=False)
    print_choices(printer, where, list(choice_lines(records, limits_of(results.run, records))))


if __name__ == "__main__":
    app()
