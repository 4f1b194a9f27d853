"""The folder of an export is unchanged until the export is complete."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from workers.export import folder as folders
from workers.export.folder import replacing
from workers.export.route import ExportError


def write(place: Path, force: bool = False, text: str = "new") -> None:
    with replacing(place, force) as partial:
        (partial / "file").write_text(text)


def tree(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_new_folder_appears_with_its_parents(tmp_path):
    write(tmp_path / "deep" / "model")
    assert tree(tmp_path) == {"deep/model/file": "new"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["model"]


def test_nothing_is_at_the_place_before_the_end(tmp_path):
    with replacing(tmp_path / "model", False) as partial:
        assert partial.parent == tmp_path
        assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
@pytest.mark.parametrize("old", [False, True])
def test_an_interruption_leaves_nothing_or_the_old_folder(tmp_path, error, old):
    if old:
        write(tmp_path / "model", text="old")
    before = tree(tmp_path)
    with pytest.raises(error), replacing(tmp_path / "model", force=old) as partial:
        (partial / "file").write_text("half")
        raise error
    assert tree(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == old


@pytest.mark.parametrize("exchange", [True, False])
def test_force_replaces_the_whole_folder(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(folders.ctypes, "CDLL", lambda *_, **__: object())
    write(tmp_path / "model", text="old")
    (tmp_path / "model" / "stray").write_text("of the old one")
    write(tmp_path / "model", force=True)
    assert tree(tmp_path) == {"model/file": "new"}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_taken_place_needs_force_and_a_file_is_never_replaced(tmp_path):
    write(tmp_path / "model", text="old")
    with pytest.raises(ExportError, match="--force replaces it"):
        write(tmp_path / "model")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "model")
    for name in ("file", "link"):
        with pytest.raises(ExportError, match="choose another place"):
            write(tmp_path / name, force=True)
    assert tree(tmp_path / "model") == {"file": "old"}


def test_somebody_else_may_be_faster(tmp_path):
    with pytest.raises(ExportError, match="--force"), replacing(tmp_path / "model", False):
        write(tmp_path / "model", text="theirs")
    assert tree(tmp_path) == {"model/file": "theirs"}


def test_what_a_killed_export_left_is_swept_away(tmp_path):
    dead, alive = tmp_path / ".model.partial-999999999", tmp_path / f".model.partial-{os.getppid()}"
    for leftover in (dead, alive, tmp_path / ".other.partial-999999999"):
        leftover.mkdir()
    write(tmp_path / "model")
    assert not dead.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_full_disk_and_a_place_that_can_not_be_written(tmp_path, monkeypatch):
    with pytest.raises(ExportError, match="No space left"), replacing(tmp_path / "model", False):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ExportError, match="must be a folder that can be written"):
        write(Path("/proc/nope/model"))
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ExportError, match="must be a folder that can be written"):
        write(tmp_path / "file" / "model")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage._replace(free=10**6))
    with (
        pytest.raises(ExportError, match=r"needs about 2 MB, got .* with 1 MB free"),
        replacing(tmp_path / "model", False, needed_bytes=2 * 10**6),
    ):
        pass
    assert tree(tmp_path) == {"file": "not a folder"}
