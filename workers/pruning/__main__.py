"""The command `python -m workers.pruning`: makes, intersects and shows mask files.

    python -m workers.pruning make --pruning w50/image --kind count --to masks/count.safetensors
    python -m workers.pruning intersect masks/count.safetensors masks/color.safetensors --to masks/both.safetensors
    python -m search.run --space full --masks masks/both.safetensors --prunings saved,ffn50

In a plan, `{saved}` applies the masks of the model's mask file, to the whole plan or to single blocks.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import ValidationError

from spaces.pruning import Pruning
from spaces.pruning_forms import pruning_of_text, text_of_pruning
from workers.pruning.files import MaskFile, intersected, read_masks
from workers.sources import DataSource, ModelSource

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Source = TypeVar("Source", ModelSource, DataSource)
To = Annotated[Path, typer.Option("--to", help="The mask file to write.")]


@app.command()
def make(
    to: To,
    pruning: Annotated[str, typer.Option(help="w50, w2:4, m50 ..., then /attn or /ffn, /text or /image.")] = "w50",
    model: Annotated[str, typer.Option(help="A name, or the JSON object of a request's model.")] = "embedded",
    dataset: Annotated[str, typer.Option(help="A name, or the JSON object of a request's data.")] = "embedded",
    kind: Annotated[list[str] | None, typer.Option(help="Calibrate on this kind of question only; repeatable.")] = None,
) -> None:
    """Compute the masks of a model by magnitude or Wanda and save them."""
    with _one_line_errors():
        parsed = pruning_of_text(pruning)
        if not parsed.is_mask:
            raise ValueError(
                f"masks are made by magnitude or Wanda, without widths, got {pruning!r}: write w50 or m2:4"
            )
        _print(
            to, _made(_source(ModelSource, model), _source(DataSource, dataset), parsed, tuple(kind or ())), saved=True
        )


@app.command()
def intersect(
    files: Annotated[list[Path], typer.Argument(help="Two or more mask files of one model.")], to: To
) -> None:
    """Save masks that keep a weight if all of the files keep it."""
    with _one_line_errors():
        if len(files) < 2:
            raise ValueError(f"an intersection needs two or more mask files, got {len(files)}: name another")
        _print(to, intersected([read_masks(file) for file in files]), saved=True)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A mask file.")]) -> None:
    """Print the number of remaining weights of each block, and the origin of the masks."""
    with _one_line_errors():
        masks = read_masks(file)
        _print(file, masks, saved=False)
        for index, left in enumerate(masks.weights):
            print(f"block {index}: " + ", ".join(f"{name} {count}" for name, count in left._asdict().items()))
        for source in masks.sources:
            print(", ".join(f"{name} {value}" for name, value in source.items()))


def _source(kind: type[Source], text: str) -> Source:
    """Return the source of a name or a JSON object.

    Raises:
        ValueError: the JSON object is not a valid source.
    """
    try:
        return kind.model_validate_json(text) if text.lstrip().startswith("{") else kind(name=text)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']} in {text}") from None


def _made(model: ModelSource, data: DataSource, pruning: Pruning, kinds: tuple[str, ...]) -> MaskFile:
    from workers.data.load_split import load_samples
    from workers.fingerprints import fingerprint
    from workers.inference.prepare import prepare
    from workers.models.load_model import load_model
    from workers.pruning.calibrate import calibrate
    from workers.pruning.make import make_masks, mask_file

    loaded, norms = load_model(model), None
    if pruning.is_calibrated:
        train = prepare(loaded, load_samples(data, "train"))
        norms = calibrate(loaded, train, data.max_calibration, kinds)[pruning.calibration]
    source = {
        "pruning": text_of_pruning(pruning),
        "model": model.name,
        "dataset": data.name,
        "kinds": ", ".join(kinds) or "all",
        "samples": data.max_calibration,
        **{f"fingerprint of the {name}": mark for name, mark in fingerprint(model, data).items()},
    }
    return mask_file(loaded.model, make_masks(loaded.model, pruning, norms), source)


def _print(path: Path, masks: MaskFile, saved: bool) -> None:
    if saved:
        masks.save(path)
    print(f"{path}: {masks.sparsity:.4f} of the weights of {len(masks.weights)} blocks become zero")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        yield
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    app()
