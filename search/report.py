"""`python -m search.report`: the front of a run as a table, a picture, or JSON; and what the model answered."""

import json
from pathlib import Path
from typing import Annotated

import typer

from search.command_line import Command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def report(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL, where it is not in the folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="File of the picture. Default: front.png in the folder of the run.")
    ] = None,
    request: Annotated[int | None, typer.Option(help="Print the request of this trial for python -m workers.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Show so many answers beside the dense model's, losses first.")
    ] = None,
    samples_to: Annotated[Path | None, typer.Option(help="Write the answers of the front as JSON lines.")] = None,
    trial: Annotated[
        int | None, typer.Option(help="Trial of --samples and --samples-to. Default: the knee; the front.")
    ] = None,
) -> None:
    """Show what a run has found so far."""
    from search.analysis.rank_flips import rank_flips
    from search.analysis.summary import summarize
    from search.console.front_table import front_table, hypervolumes
    from search.console.samples import dense_note, metric_line, samples_table, write_samples
    from search.console.terminal import console, one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        records = results.records()
        summary = summarize(results)
        if request is not None:
            found = [record.trial for record in records if record.trial.number == request]
            if not found:
                raise ValueError(f"--request must be the number of a trial, got {request}: there are {len(records)}")
            print(json.dumps(found[0].request, indent=1))
        elif samples is not None or samples_to is not None:
            if samples is not None:
                console().print(samples_table(results, records, samples, trial))
            if samples_to is not None:
                print(f"{write_samples(results, records, trial, samples_to)} answers: {samples_to}")
        elif as_json:
            print(json.dumps(summary, indent=1))
        else:
            from search.console.front_plot import draw_front

            file = picture or out / "front.png"
            draw_front(records, summary, file)
            printer = console()
            printer.print(front_table(summary, printer.width))
            for flips in rank_flips(records):
                printer.print(str(flips), style="yellow" if flips.misleads else None, soft_wrap=True)
            if (line := metric_line(summary["settings"]["metric"])) is not None:
                printer.print(line, soft_wrap=True)
            if (note := dense_note(results, records)) is not None:
                printer.print(note, style="red", markup=False, soft_wrap=True)
            printer.print(f"{hypervolumes(summary)}. Picture: {file}", soft_wrap=True)


if __name__ == "__main__":
    app()
