"""The command `python -m search`, also installed as `skipsearch`: lists and runs the commands."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from search.command_line import Command
from search.compare import compare
from search.dashboard import dashboard
from search.explain import explain
from search.export import export
from search.report import report
from search.route import route
from search.run import EPILOG, run
from search.serve import serve
from search.status import status
from search.tune import tune
from workers.__main__ import main as trial

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
app.command(cls=Command, epilog=EPILOG)(run)
for command in (report, explain, compare, status, serve, tune, route, export, dashboard):
    app.command(cls=Command)(command)
app.command("trial")(trial)


def _print_version(wanted: bool) -> None:
    if wanted:
        try:
            print(version("skipsearch"))
        except PackageNotFoundError:
            print("unknown: skipsearch is not installed")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Search which parts of a multimodal LLM can be skipped, pruned or run in parallel, and export the result."""


if __name__ == "__main__":
    app()
