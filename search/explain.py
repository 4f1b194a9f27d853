"""The command `python -m search.explain`: shows what a plan skips, saves and loses, in words, tables and a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.command_line import Command

if TYPE_CHECKING:
    from search.storage.results import Results

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def explain(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    trial: Annotated[int, typer.Option(help="Number of a complete trial.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="Number of lost questions to show.")] = 6,
    picture: Annotated[
        Path | None, typer.Option(help="File of the picture. Default: trial-N.png in the folder of the run.")
    ] = None,
    contributions: Annotated[
        int | None,
        typer.Option(min=16, help="Also undo each change alone, measured on this many questions; loads the model."),
    ] = None,
) -> None:
    """Explain one plan: what it skips, and what it saves and loses compared with the dense model."""
    from search.analysis.explain import explain as explained
    from search.console.explanation import explanation_text
    from search.console.explanation_plot import draw_explanation
    from search.console.terminal import console, one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        found = explained(results, trial, samples)
        printer = console()
        printer.print(explanation_text(found), soft_wrap=True)
        file = picture or out / f"trial-{trial}.png"
        draw_explanation(found, _source(results), file)
        printer.print(f"Picture: {file}", soft_wrap=True, markup=False)
        if contributions is not None:
            _print_contributions(results, trial, out, contributions)
        results.close()


def _source(results: "Results") -> dict[str, object]:
    source: dict[str, object] = results.run.settings["dataset"]
    return source


def _print_contributions(results: "Results", trial: int, out: Path, questions: int) -> None:
    from search.analysis.explain import finished_trial
    from search.analysis.export_request import trial_request
    from search.analysis.select_trials import Selected
    from search.console.explanation import contributions_text
    from search.console.terminal import console
    from search.dispatch.op_contributions import contributions

    record = finished_trial(results.records(), trial)
    request = trial_request(results, Selected(record.plan, record, "named"), out)
    console().print(contributions_text(list(contributions(request, questions)), questions), soft_wrap=True)


if __name__ == "__main__":
    app()
