"""A data set that is itself a zip: the samples of its folder, and no path that leads out of it."""

import shutil
from zipfile import ZipFile

import pytest

from tests.workers.data.small_sets import read_search, save_rows
from workers.data.read_table import read_split
from workers.sources import DataSource

ROWS = [{"question": f"what {number} ?", "answer": "0042"} for number in range(9)]


@pytest.mark.parametrize("top", ["", "vqa"])
def test_a_zip_gives_the_samples_of_its_folder(tmp_path, top):
    folder = save_rows(tmp_path / "set" / top, ROWS)
    (folder / ".hidden.jsonl").write_text("{")
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "set")
    plain, packed = read_search(folder), read_search(archive)
    assert packed.samples == plain.samples
    assert packed.samples[3].answers == ("0042",)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "im/../../x.png"])
def test_paths_of_a_zip_stay_in_it(tmp_path, path):
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("train.jsonl", f'{{"image": "{path}", "question": "a", "answer": "b"}}')
    with pytest.raises(ValueError, match="must stay in the data set's folder"):
        read_split(DataSource(name=str(tmp_path / "set.zip")), "train")


@pytest.mark.parametrize(("content", "why"), [(b"no zip", "a zip must be one"), (None, "must hold a table")])
def test_a_zip_without_a_table_is_refused_in_one_line(tmp_path, content, why):
    (tmp_path / "set.zip").write_bytes(content or b"")
    if content is None:
        with ZipFile(tmp_path / "set.zip", "w") as archive:
            archive.writestr("a.png", b"x")
    with pytest.raises(ValueError, match=why) as refusal:
        read_split(DataSource(name=str(tmp_path / "set.zip")), "train")
    assert "\n" not in str(refusal.value)
