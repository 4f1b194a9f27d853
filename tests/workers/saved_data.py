"""Small data sets saved as a user would have them, in every local format."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets

from tests.workers.tiny import picture

Rows = list[dict[str, Any]]
"""`image` is a number for `tests.workers.tiny.picture`; the rest is stored as it is."""


def as_table(rows: Rows) -> datasets.Dataset:
    data = {name: [row[name] for row in rows] for name in rows[0]}
    for name in data:
        if name.startswith(("image", "photo")) and isinstance(data[name][0], int):
            data[name] = [picture(number) for number in data[name]]
    table = datasets.Dataset.from_dict(data)
    return table.cast_column("image", datasets.Image()) if "image" in data else table


def save_to_disk(folder: Path, splits: dict[str, Rows]) -> None:
    datasets.DatasetDict({split: as_table(rows) for split, rows in splits.items()}).save_to_disk(str(folder))


def parquet(folder: Path, splits: dict[str, Rows]) -> None:
    for split, rows in splits.items():
        as_table(rows).to_parquet(str(folder / "data" / f"{split}-00000-of-00001.parquet"))


def json_lines(folder: Path, splits: dict[str, Rows]) -> None:
    """Tables whose paths lead to images in a folder beside them."""
    (folder / "images").mkdir()
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text(
            "".join(json.dumps(_with_file(row, folder, f"images/{row['image']}.png", "image")) + "\n" for row in rows)
        )


def image_folder(folder: Path, splits: dict[str, Rows]) -> None:
    for split, rows in splits.items():
        (folder / split).mkdir()
        lines = [_with_file(row, folder / split, f"{row['image']}.png", "file_name") for row in rows]
        (folder / split / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _with_file(row: dict[str, Any], folder: Path, file: str, column: str) -> dict[str, Any]:
    picture(row["image"]).save(folder / file)
    return {column: file, **{name: value for name, value in row.items() if name != "image"}}


def from_the_hub(monkeypatch: Any, tables: Any) -> None:
    """Every hub id is a data set of these tables, without a network."""
    builder = SimpleNamespace(
        config=SimpleNamespace(data_files=None),
        download_and_prepare=lambda: None,
        as_dataset=lambda: tables,
        as_streaming_dataset=lambda: tables,
    )
    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_, **__: builder)


FORMATS = {form.__name__: form for form in (save_to_disk, parquet, json_lines, image_folder)}


def save(form: str, folder: Path, splits: dict[str, Rows]) -> str:
    folder.mkdir(parents=True)
    FORMATS[form](folder, splits)
    return str(folder)


def questions(number: int, first: int = 0, per_image: int = 2) -> Rows:
    """Questions on `number` images, some with several answers, in the words of the tiny model."""
    return [
        {
            "image": first + image,
            "question": f"what is the {('color', 'digit')[place % 2]} ? {place}",
            "answers": [("red", "blue", "one")[(image + place) % 3]] * 2 + ["two"],
        }
        for image in range(number)
        for place in range(per_image)
    ]


def captions(number: int, first: int = 0) -> Rows:
    return [
        {"image": first + image, "captions": [f"the color is {word}", f"{word} digit {image % 3}"]}
        for image in range(number)
        for word in [("red", "blue", "one", "two")[image % 4]]
    ]


def choices(number: int, first: int = 0) -> Rows:
    return [
        {
            "image": first + image,
            "question": "what is the color ?",
            "choices": ["red", "blue", "one two"][: 2 + image % 2],
            "answer": image % 2,
        }
        for image in range(number)
    ]
