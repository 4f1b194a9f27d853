"""The data folder of the pretrained model, from a package of the same form as easy-VQA."""

import json
from pathlib import Path

import pytest

from workers.data.load_split import load_split
from workers.pretrained import easy_vqa
from workers.pretrained.packages import QUESTIONS
from workers.sources import DataSource

COLORS = ("red", "blue", "gray")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with an unpacked package: 12 images to train on and 4 to test on, 9 questions each."""
    monkeypatch.setattr(easy_vqa, "NUM_TUNE", 2)
    monkeypatch.setattr(easy_vqa, "NUM_SEARCH", 3)
    source = tmp_path / f"{QUESTIONS.name}-{QUESTIONS.version}" / "easy_vqa" / "data"
    for part, images in (("train", 12), ("test", 4)):
        (source / part / "images").mkdir(parents=True)
        rows = [row for image in range(images) for row in _questions(image)]
        (source / part / "questions.json").write_text(json.dumps(rows))
        for image in range(images):
            _draw(source / part / "images" / f"{image}.png", image, part == "test")
    return tmp_path


def _questions(image: int) -> list[tuple[str, str, int]]:
    color = COLORS[image % len(COLORS)]
    asked = [("what color is the shape?", color, image), ("what shape is present?", "circle", image)]
    return asked + [(f"is there a {name} shape? ({n})", "yes" if name == color else "no", image)
                    for n, name in enumerate([*COLORS, *COLORS, "teal"])]  # fmt: skip


def _draw(file: Path, image: int, is_test: bool) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), (image, 200 if is_test else 0, 0)).save(file)


def test_no_image_is_in_two_splits_and_none_is_lost(packages: Path, tmp_path: Path) -> None:
    easy_vqa.write_data(packages, tmp_path / "data")
    rows = {split: _rows(tmp_path / "data" / f"{split}.jsonl") for split in ("train", "tune", "search", "test")}
    images = {split: {row["image"] for row in own} for split, own in rows.items()}
    assert {split: len(own) for split, own in images.items()} == {"train": 7, "tune": 2, "search": 3, "test": 4}
    assert len(set().union(*images.values())) == 16
    assert sum(map(len, rows.values())) == 16 * 9
    assert all(name.startswith("test/") for name in images["test"])


def test_first_questions_are_about_many_images(packages: Path, tmp_path: Path) -> None:
    easy_vqa.write_data(packages, tmp_path / "data")
    first = _rows(tmp_path / "data" / "test.jsonl")[:16]
    assert len({row["image"] for row in first}) == 4


def test_questions_are_read_with_picture_answer_and_kind(packages: Path, tmp_path: Path) -> None:
    easy_vqa.write_data(packages, tmp_path / "data")
    samples = load_split(DataSource(name=str(tmp_path / "data")), "test").samples
    assert {sample.kind for sample in samples} == {"yes_no", "shape", "color"}
    for sample in samples:
        if sample.kind == "color":
            assert sample.answers == (COLORS[sample.image.getpixel((0, 0))[0] % len(COLORS)],)


def test_same_folder_every_time(packages: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        easy_vqa.write_data(packages, tmp_path / name)
    for file in sorted((tmp_path / "one").rglob("*.*")):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


def _rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
