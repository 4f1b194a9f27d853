"""Generated data sets: every sample equals the file's row, or one line says why there is none."""

import csv
import json
import random
from base64 import b64encode

import pytest

from tests.workers.data.small_sets import png
from tests.workers.tiny import picture
from workers.data.read_table import read_split
from workers.sources import DataSource

FILES = [png(number) for number in range(8)]
PIXELS = [picture(number).tobytes() for number in range(8)]
WORDS = [
    "red",
    " a b ",
    "0042",
    "3.0",
    "NA",
    "null",
    "é\u2028",
    "日本",
    "{question}",
    "[1]",
    'say "x"',
    "a\nb",
    "🙂",
    "2015-06-01",
]
WRITTEN = {"3": "3", "2.50": "2.50", "1e5": "1e5", "true": "true", "-7": "-7"}
BAD_QUESTIONS = [None, "", [], {}, {"en": "x"}, ["a", "b"], "\ud800"]
BAD_ANSWERS = [None, "", [], {}, [[]], {"x": 1}, "\ud800", [None, " "]]
BAD_IMAGES = [
    None,
    "",
    "none.png",
    7,
    {},
    "data:image/png,x",
    "[",
    "x" * 400,
    "../x.png",
    "/etc/passwd",
    [None, "0.png"],
    [[[]]],
]


class Row:
    """A row as text of JSON, and its expected sample; `bad` if it can't be read."""

    def __init__(self, chance: random.Random, bad: float) -> None:
        number, self.bad = chance.randrange(8), False
        self.question, self.answer = chance.choice(WORDS), chance.choice(WORDS)
        self.pixels = [PIXELS[number]]
        base64 = b64encode(FILES[number]).decode()
        forms = [
            f"{number}.png",
            base64,
            f"data:image/png;base64,{base64}",
            {"path": f"{number}.png"},
            [f"{number}.png", None],
        ]
        image, answer, question = chance.choice(forms), json.dumps(self.answer), json.dumps(self.question)
        if chance.random() < 0.2:
            other = chance.randrange(8)
            image, self.pixels = [f"{number}.png", f"{other}.png"], [PIXELS[number], PIXELS[other]]
        if chance.random() < 0.3:
            answer, self.answer = chance.choice([*WRITTEN.items()])
        if chance.random() < 0.2:
            answer = f'[{answer}, null, {answer}, "x"]'
        if chance.random() < bad:
            self.bad = True
            kind = chance.randrange(3)
            question = json.dumps(chance.choice(BAD_QUESTIONS)) if kind == 0 else question
            answer = json.dumps(chance.choice(BAD_ANSWERS)) if kind == 1 else answer
            image = chance.choice(BAD_IMAGES) if kind == 2 else image
        self.line = f'{{"image": {json.dumps(image)}, "image_id": {chance.choice(["null", "0", "1"])}, '
        self.line += f'"question": {question}, "answer": {answer}}}'


def save_json(place, rows, chance):
    encoding = chance.choice(["utf-8", "utf-8-sig", "utf-16"])
    whole = chance.random() < 0.3
    text = f"[{','.join(row.line for row in rows)}]" if whole else "\n".join(row.line for row in rows) + "\n"
    for split in ("train", "validation"):
        (place / f"{split}.{'json' if whole else 'jsonl'}").write_bytes(text.encode(encoding))


def save_csv(place, rows):
    """Only what CSV can hold: one image, text."""
    for split in ("train", "validation"):
        with (place / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "question", "answer"])
            for row in rows:
                held = json.loads(row.line)
                writer.writerow([held["image"], held["question"], row.answer])


def check(folder, seed, size):
    chance = random.Random(seed)
    bad = chance.choice([0, 0, 0, 0.02, 0.5])
    rows = [Row(chance, bad) for _ in range(size)]
    for number, file in enumerate(FILES):
        (folder / f"{number}.png").write_bytes(file)
    if seed % 4 == 0:
        rows = [row for row in rows if isinstance(json.loads(row.line)["image"], str) and not row.bad]
        save_csv(folder, rows)
    else:
        save_json(folder, rows, chance)
    try:
        data = read_split(DataSource(name=str(folder), max_unreadable=1 if bad == 0.5 else 0), "search")
    except ValueError as error:
        assert any(row.bad for row in rows), error
        assert "\n" not in str(error) and len(str(error)) < 700
        return
    good = [row for row in rows if not row.bad]
    assert len(data.samples) + data.skipped == len(rows)
    assert len(data.samples) == len(good)
    for sample, row in zip(data.samples, good, strict=True):
        assert (sample.question, sample.answers[0]) == (row.question, row.answer)
        assert [image.tobytes() for image in sample.images] == row.pixels


@pytest.mark.parametrize("seed", range(6))
def test_what_the_file_says_or_one_line(tmp_path, seed):
    check(tmp_path, seed, 50)


@pytest.mark.slow
def test_ten_thousand_rows(tmp_path):
    for seed in range(6, 206):
        (tmp_path / str(seed)).mkdir()
        check(tmp_path / str(seed), seed, 50)
