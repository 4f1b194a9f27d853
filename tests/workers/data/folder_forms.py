"""Generated folders of images with tables beside them, and a reader of them that shares no code with ours.

The reader knows `docs/data.md` and the layout of a folder; it uses `csv`, `json` and Pillow alone.
"""

import csv
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from PIL import Image

from tests.workers.data.small_sets import png

FILES = [png(number) for number in range(8)]
PLACES = ["0.png", "a/0.png", "b/0.png", "b/c/0.png", "日 本/é.png", "%20.png"]
"""Paths of images below the folder of a table: the same name stands in several folders."""
TEXTS = [
    "red",
    " a b ",
    "0042",
    "3.0",
    "NA",
    "nan",
    "é\u2028",
    "日本",
    "ＡＢ",
    "مرحبا",
    "{question}",
    "[1]",
    'x "y"',
    "a\nb",
]
LITERALS = ["3", "2.50", "1e3", "1000", "-0", "007.0", "true"]
LAYOUTS = ["tables beside", "tables in folders", "metadata of splits", "metadata of classes", "one metadata", "zips"]
ROWS = 24
"""Number of rows per split."""
SPLITS = ("train", "validation", "test")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb": "utf-8-sig"}
Read = tuple[str, str, tuple[bytes, ...]]
"""Question, first accepted answer, pixels of the images."""


class Folder:
    """A generated data set of several splits below `place`."""

    def __init__(self, place: Path, chance: random.Random, bad: bool) -> None:
        self.place, self.chance, self.layout = place, chance, chance.choice(LAYOUTS)
        self.suffix = chance.choice(["jsonl", "csv"] if "metadata" in self.layout else ["jsonl", "json", "csv", "tsv"])
        self.encoding = chance.choice(["utf-8", "utf-8-sig", "utf-16"])
        self.options = self.suffix == "csv" and chance.random() < 0.3
        self.bad = chance.choice(["none.png", "../secret.png", "/etc/hostname", ""]) if bad else None
        self.tables: list[Path] = []
        for number, split in enumerate(SPLITS):
            self._save(number, split)
        if self.layout == "zips":
            for inner in [each for each in place.iterdir() if each.is_dir()]:
                shutil.make_archive(str(inner), "zip", inner)
                shutil.rmtree(inner)
        if chance.random() < 0.3 and self.layout != "one metadata":
            (place / "README.md").write_text("---\nlicense: mit\n---\n# A card\n")

    def _save(self, number: int, split: str) -> None:
        """Write images and table of a split; in each split the same paths have other images."""
        inner = {"metadata of classes": f"{split}/cat"}.get(self.layout, split)
        base = self.place / inner
        for shift, path in enumerate(PLACES):
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_bytes(FILES[(shift + 3 * number) % len(FILES)])
        rows = [self._row(inner) for _ in range(ROWS)]
        if self.bad is not None and split == "test":
            rows[self.chance.randrange(ROWS)]["image"] = self.bad
        if "metadata" not in self.layout:
            name = f"{split}/0.{self.suffix}" if self.layout == "tables in folders" else f"{split}.{self.suffix}"
            return self._write(self.place / name, rows, "image")
        if self.layout != "one metadata":
            return self._write(base / f"metadata.{self.suffix}", rows, "file_name")
        self.one = [*getattr(self, "one", []), *rows]
        return self._write(self.place / f"metadata.{self.suffix}", self.one, "file_name") if number == 2 else None

    def _row(self, inner: str) -> dict[str, Any]:
        many = self.suffix.startswith("json") and "metadata" not in self.layout and self.chance.random() < 0.2
        below = "" if self.layout in ("metadata of splits", "metadata of classes") else f"{inner}/"
        found = [self._styled(below + self.chance.choice(PLACES)) for _ in range(2 if many else 1)]
        row = {"question": self.chance.choice(TEXTS), "image": found if many else found[0]}
        if self.options:
            return {**row, **dict(zip("ABC", self.chance.sample(TEXTS[:5], 3), strict=True)), "answer": self._letter()}
        return {**row, "answer": self._answer()}

    def _letter(self) -> str:
        return self.chance.choice(["A", "b", "(C)"])

    def _styled(self, path: str) -> str:
        style = self.chance.random()
        if style < 0.2 and self.layout in ("tables beside", "tables in folders"):
            return str(self.place / path)  # absolute
        return f"./{path}" if style > 0.8 and self.layout != "zips" else path

    def _answer(self) -> Any:
        """Return an answer; a tuple is a literal of JSON."""
        one = self.chance.choice(TEXTS) if self.chance.random() < 0.6 else (self.chance.choice(LITERALS),)
        nested = [[None, one], {"text": [one, one]}, [{"answer": "x"}, [one, one]], [{"answer": one, "count": 2}, "x"]]
        return self.chance.choice(nested) if self.suffix.startswith("json") and self.chance.random() < 0.3 else one

    def _write(self, path: Path, rows: list[dict[str, Any]], image: str) -> None:
        rows = [{image if name == "image" else name: value for name, value in row.items()} for row in rows]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".csv", ".tsv"):
            text = StringIO(newline="")
            writer = csv.writer(text, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerow(rows[0])
            writer.writerows([cell[0] if isinstance(cell, tuple) else cell for cell in row.values()] for row in rows)
            content = text.getvalue()
        else:
            lines = [literal(row) for row in rows]
            content = f"[{', '.join(lines)}]" if path.suffix == ".json" else "\n".join(lines) + "\n"
        path.write_bytes(content.encode(self.encoding))
        self.tables = [*(each for each in self.tables if each != path), path]


def literal(value: Any) -> str:
    """Return a value as JSON; a tuple of one text is that text."""
    if isinstance(value, tuple):
        return str(value[0]) if value[0] != "007.0" else "7.0"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {literal(each)}" for name, each in value.items()) + "}"
    return f"[{', '.join(map(literal, value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def read_apart(folder: Folder) -> dict[str, list[Read]]:
    """Return split -> what its rows say."""
    found: dict[str, list[Read]] = {split: [] for split in SPLITS}
    for table in folder.tables:
        for row in rows_of(table):
            named = row.get("image") or row["file_name"]
            named = named if isinstance(named, list) else [named]
            base = folder.place if "image" in row else table.parent
            files = [content(base, each) for each in named]
            pixels = tuple(Image.open(BytesIO(each)).convert("RGB").tobytes() for each in files)
            parts = Path(named[0] if folder.layout == "one metadata" else table.relative_to(folder.place)).parts
            split = next(each for each in SPLITS if each in (*parts, table.stem))
            answer = row[row["answer"].strip("()").upper()].strip() if "A" in row else answer_of(row["answer"])
            found[split].append((row["question"], answer, pixels))
    return found


def rows_of(table: Path) -> Iterator[dict[str, Any]]:
    data = table.read_bytes()
    text = data.decode(MARKS.get(data[:2], "utf-8"))
    if table.suffix in (".csv", ".tsv"):
        head, *rows = csv.reader(StringIO(text, newline=""), delimiter="\t" if table.suffix == ".tsv" else ",")
        yield from (dict(zip(head, row, strict=True)) for row in rows)
        return
    for part in [text] if table.suffix == ".json" else text.split("\n"):
        if part:
            held = json.loads(part, parse_float=str, parse_int=str)
            yield from held if isinstance(held, list) else [held]


def content(base: Path, path: str) -> bytes:
    if (base / path).is_file():
        return (base / path).read_bytes()
    top, _, member = path.partition("/")
    with ZipFile(base / f"{top}.zip") as archive:
        return archive.read(member)


def answer_of(value: Any) -> str:
    """Return the most frequent text in a value."""
    texts: list[str] = []

    def gather(each: Any, times: int = 1) -> None:
        if isinstance(each, dict):
            gather(each["text" if "text" in each else "answer"], int(each.get("count", 1)))
        elif isinstance(each, list):
            for inner in each:
                gather(inner, times)
        elif each is not None:
            texts.extend([{True: "true"}.get(each, each)] * times)

    gather(value)
    return Counter(texts).most_common(1)[0][0]
