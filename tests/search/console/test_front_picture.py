"""The picture of a front is drawn again exactly when it shows something else."""

from pathlib import Path

import pytest
from PIL import Image

from search.analysis.summary import summarize
from search.console.front_picture import draw_front
from search.storage.find_run import open_results
from search.storage.results import Results
from tests.search.loop.test_controller import search
from tests.search.pretend import settings_in


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    settings = settings_in(tmp_path_factory.mktemp("picture") / "run", strategy="random", budget=8, final_seeds=1)
    search(settings)
    return open_results(settings.run_folder, None)


def _pixels(file: Path) -> bytes:
    with Image.open(file) as picture:
        return picture.tobytes()


def test_a_picture_of_the_same_points_is_kept_and_any_other_is_drawn(results: Results, tmp_path: Path) -> None:
    records, summary, file = results.records(), summarize(results), tmp_path / "front.png"
    draw_front(records, summary, file)
    first, pixels = file.stat().st_mtime_ns, _pixels(file)
    draw_front(records, summary, file)
    assert file.stat().st_mtime_ns == first
    draw_front(records[:-2], summary, file)
    assert _pixels(file) != pixels
    draw_front(records, summary, file)
    assert _pixels(file) == pixels
    file.write_text("no picture")
    draw_front(records, summary, file)
    assert _pixels(file) == pixels


def test_other_formats_are_drawn_too(results: Results, tmp_path: Path) -> None:
    draw_front(results.records(), summarize(results), tmp_path / "front.svg")
    assert "<svg" in (tmp_path / "front.svg").read_text()
