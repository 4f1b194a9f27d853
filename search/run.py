"""The command `python -m search.run`: searches for the plans with the best trade-off of accuracy and FLOPs."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from search.command_line import Command
from search.setting_options import with_settings
from search.strategies import ABOUT as STRATEGIES
from spaces.spaces import ABOUT as SPACES

EPILOG = "\n\n".join(
    [
        "**Spaces:** " + "; ".join(f"{name}: {about}" for name, about in SPACES.items()),
        "**Strategies:** " + "; ".join(f"{name}: {about}" for name, about in STRATEGIES.items()),
        "**Examples:**",
        "python -m search.run --budget 200",
        "python -m search.run --dry-run --model llava-hf/llava-1.5-7b-hf --dtype bfloat16 --dataset lmms-lab/VQAv2",
        "python -m search.run --space blocks --max-flops 0.7 --out runs/demo --workers 4",
        "python -m search.run --config examples/search.yaml --seed 1",
    ]
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")


@app.command(cls=Command, epilog=EPILOG)
@with_settings
def run(
    given: dict[str, Any],
    config: Annotated[Path | None, typer.Option(help="YAML file of settings; the command line wins.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what the search would do; load no model, create no file.")
    ] = False,
) -> None:
    """Search which blocks, attention or FFN layers to skip, prune or run in parallel.

    Run the same command again to resume a search that was stopped or died.
    """
    if not dry_run:  # at once: what is imported below takes seconds
        print("reading settings, model configuration and data ...", flush=True)
    from search.console.terminal import one_line_errors

    with one_line_errors():
        from search.load_settings import load_settings
        from search.loop.problem import Problem

        problem = Problem.resolve(load_settings(config, given))
        if dry_run:
            from search.console.dry_run import describe
            from search.loop.check_writable import check_places

            check_places(problem.settings)
            describe(problem.settings, problem)
        else:
            from search.dispatch.whole_search import WholeSearch

            raise typer.Exit(WholeSearch(problem.settings, problem).run())


class _CallableModule(ModuleType):
    """Makes this module callable like `search.notebook.run`, whose name in the package `import search.run` replaces."""

    def __call__(self, config: str | Path | None = None, **settings: Any) -> Any:
        from search.notebook import run as run_search

        return run_search(config, **settings)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    app()
