"""Generated folders of images with tables: every sample equals what an independent reader of the same files says."""

import random
from collections import Counter
from typing import get_args

import pytest

from tests.workers.data.folder_forms import LAYOUTS, Folder, Read, read_apart
from workers.data.read_table import read_split
from workers.sources import DataSource, Split


def read(folder: Folder, split: Split) -> list[Read]:
    source = DataSource(name=str(folder.place), prompt="{question}", choices_as="text", max_unreadable=0)
    return [
        (each.question, each.answers[0], tuple(image.tobytes() for image in each.images))
        for each in read_split(source, split).samples
    ]


def check(place, seed: int) -> str:
    chance = random.Random(seed)
    folder = Folder(place, chance, bad=chance.random() < 0.15)
    if folder.bad is not None:
        with pytest.raises(ValueError) as refusal:
            for split in get_args(Split):
                read(folder, split)
        assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 700
        return folder.layout
    want = read_apart(folder)
    assert read(folder, "search") == want["validation"]
    assert read(folder, "test") == want["test"]
    found: Counter[Read] = Counter()
    for split in ("train", "tune"):
        try:
            found.update(read(folder, split))
        except ValueError as error:
            assert "must have at least one image" in str(error)  # few images may all be in the other split
    assert found == Counter(want["train"])
    return folder.layout


def test_every_layout_is_what_an_independent_reader_reads(tmp_path):
    seen = set()
    for seed in range(16):
        (tmp_path / str(seed)).mkdir()
        seen.add(check(tmp_path / str(seed), seed))
    assert seen == set(LAYOUTS)


@pytest.mark.slow
def test_ten_thousand_rows_of_folders(tmp_path):
    for seed in range(16, 16 + 140):  # 72 rows each
        (tmp_path / str(seed)).mkdir()
        check(tmp_path / str(seed), seed)
