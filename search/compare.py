"""The command `python -m search.compare`: shows the fronts of two runs, and their accuracies at equal FLOPs."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from search.command_line import Command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run.")],
    second: Annotated[Path, typer.Argument(help="Folder of a run of the same model and data.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in each folder.")] = None,
    picture: Annotated[Path, typer.Option(help="File of the picture.")] = Path("comparison.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON and draw no picture.")] = False,
) -> None:
    """Compare two runs of one model and data set."""
    from search.analysis.compare import compare as compared
    from search.analysis.summary import summarize
    from search.console.comparison import comparison_text
    from search.console.front_picture import draw_two_fronts
    from search.console.terminal import console, one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        runs = [open_results(folder, storage) for folder in (first, second)]
        found = compared(*runs)
        if as_json:
            print(json.dumps(asdict(found), indent=1))
            return
        draw_two_fronts([summarize(run) for run in runs], found.names, picture)
        console().print(comparison_text(found), soft_wrap=True)
        print(f"Picture: {picture}")


if __name__ == "__main__":
    app()
