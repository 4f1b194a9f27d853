"""Measures a plan per question on finished searches: `python -m benchmarks.adaptive RUN --store FILE`.

`python -m benchmarks.adaptive.page` writes the measured part of docs/adaptive.md, with its picture, from stored files.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.adaptive.measured import measured
from benchmarks.adaptive.page import tables_of


def main(
    run: Annotated[Path, typer.Argument(help="Folder of a finished search of the embedded model.")],
    store: Annotated[Path | None, typer.Option(help="File of the results, as the page reads them.")] = None,
    questions: Annotated[
        int, typer.Option(help="Number of test questions of the timed streams; 0 to time none.")
    ] = 1000,
    repeats: Annotated[int, typer.Option(help="Times that each stream is run.")] = 3,
    cascade: Annotated[bool, typer.Option(help="Measure cascades, too.")] = True,
) -> None:
    """Print one row per seed of the router, one per control, and the seconds of the streams."""
    found = json.loads(json.dumps(measured(run, questions, repeats, cascade)))
    print(tables_of(found))
    if store is not None:
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
