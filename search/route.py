"""The command `python -m search.route`: learns which plan of the front answers which question."""

from pathlib import Path
from typing import Annotated, Any

import typer

from search.command_line import Command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def route(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    plans: Annotated[int, typer.Option(min=2, max=8, help="Largest number of plans to choose among.")] = 8,
    seed: Annotated[int | None, typer.Option(help="Seed of the router. Default: that of the search.")] = None,
    per_kind: Annotated[
        bool, typer.Option("--per-kind", help="Train no router: show the best plan per kind of question.")
    ] = False,
    text_only: Annotated[
        bool, typer.Option("--text-only", help="The router reads no images, as search.export --routed needs it.")
    ] = False,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Also measure cascades: a cheap plan, and another where it is unsure.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Choose a plan per question: learn a router between the plans of the front, and measure it on the test split.

    The router reads a question before the language model runs. Its result is stored with the run, and in RUN/routed.
    """
    import sys

    from search.console.terminal import one_line_errors
    from search.routing.result import describe
    from search.routing.route import route as routed_run
    from search.routing.store import store
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        try:
            routed = routed_run(
                results, out, plans=plans, seed=seed, per_kind=per_kind, text_only=text_only, cascade=cascade,
                say=lambda line: print(line, file=sys.stderr),
            )  # fmt: skip
            result = describe(routed, results.run.name, routed.candidates.dense.request.threads)
            file = None if per_kind else store(results, out, result, routed)
        finally:
            results.close()
    _print(result, file, as_json)


def _print(result: dict[str, Any], file: Path | None, as_json: bool) -> None:
    import json

    from search.console.routing import routing_text
    from search.console.terminal import console

    if as_json:
        print(json.dumps(result, indent=1))
        return
    console().print(routing_text(result), soft_wrap=True)
    if file is not None:
        print(f"Stored: {file}")


if __name__ == "__main__":
    app()
