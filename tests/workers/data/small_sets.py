"""Small data sets of JSON lines beside PNG files, made from rows."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.workers.tiny import picture
from workers.data.read_table import read_split
from workers.data.sample import Sample, SplitData
from workers.sources import DataSource

PICTURES = 8


def png(seed: int) -> bytes:
    out = BytesIO()
    picture(seed).save(out, "PNG")
    return out.getvalue()


def save_rows(folder: Path, rows: list[dict[str, Any]], train: list[dict[str, Any]] | None = None) -> Path:
    """Write rows; row i has picture i unless it names an image. `train` has the same rows unless given."""
    (folder / "im").mkdir(parents=True, exist_ok=True)
    for number in range(PICTURES):
        (folder / f"im/{number}.png").write_bytes(png(number))
    for split, content in (("train", rows if train is None else train), ("validation", rows)):
        full = [with_image(row, number) for number, row in enumerate(content)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in full), "utf-8")
    return folder


def with_image(row: dict[str, Any], number: int) -> dict[str, Any]:
    own = any(name.startswith(("image", "messages", "conversations")) and name != "image_id" for name in row)
    return row if own else {"image": f"im/{number % PICTURES}.png", **row}


def read_search(name: Path, **told: Any) -> SplitData:
    return read_split(DataSource(name=str(name), **told), "search")


def search_samples(
    folder: Path, rows: list[dict[str, Any]], train: list[dict[str, Any]] | None = None, **told: Any
) -> tuple[Sample, ...]:
    return read_search(save_rows(folder, rows, train), **told).samples
