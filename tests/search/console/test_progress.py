"""What a running search shows: one line per job on a pipe; on a terminal states, front, failure, and one ETA."""

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from search.console.character_plot import character_plot
from search.console.live import View, draw
from search.console.progress import Progress
from search.dispatch.in_process import run_here
from search.loop.open_run import open_run
from tests.search.pretend import PretendWorker, problem_of, settings_in

FULL = View(
    budget=40,
    counts={"complete": 12, "stopped": 15, "failed": 1, "running": 1},
    tests=(3, 30),
    trials=((0.3, 0.8), (0.5, 0.9), (0.2, 0.1)),
    front=((0.3, 0.8), (0.5, 0.9)),
    floor=0.25,
    hypervolume=0.7421,
    new_trials=28,
    seconds=100.0,
    failure="trial 17: [Errno 28] no space [bold]left[/bold]",
    now=f"now: trial 28, {'.' * 80}",
)


def lines_of(folder: Path, console: Console, budget: int = 30) -> None:
    settings = settings_in(folder, budget=budget, strategy="random")
    with open_run(settings, problem_of(settings)) as controller:
        with Progress(controller, budget, console) as progress:
            progress.note("loading model m ...")
            run_here(controller, progress, PretendWorker(floor=0.2))
        controller.close()


def test_every_trial_and_test_is_one_line_with_one_eta_to_the_end(tmp_path: Path) -> None:
    log = io.StringIO()
    lines_of(tmp_path / "run", Console(file=log))
    first, *lines = log.getvalue().splitlines()
    assert first == "loading model m ..."
    trials = [line for line in lines if line.startswith("trial=")]
    tests = [line for line in lines if line.startswith("test ")]
    assert len(trials) == 30 and tests and len(lines) == len(trials) + len(tests)
    assert all(re.search(r" eta \d+m\d\ds\]$", line) for line in lines[:-1]), "the last line has nothing left"
    assert f"[tests 1/{len(tests)} eta" in tests[0] and "eta" not in tests[-1]
    volumes = [float(volume) for volume in re.findall(r"hypervolume=([\d.]+)", log.getvalue())]
    assert volumes == sorted(volumes) and volumes[-1] > volumes[0]


def test_on_a_terminal_the_view_ends_with_all_trials_and_tests(tmp_path: Path) -> None:
    log = io.StringIO()
    lines_of(tmp_path / "run", Console(file=log, force_terminal=True, width=100, height=40, color_system=None))
    last = log.getvalue()[log.getvalue().rindex("trials ━") :]
    assert "30 of 30" in last
    done, total = re.findall(r"(\d+) of (\d+), plans of the front", last)[0]
    assert done == total
    assert "hypervolume" in last and "elapsed" in last and "● front" in last


@pytest.mark.parametrize("width", [40, 80, 160])
def test_the_view_fits_and_takes_no_text_for_markup(width: int) -> None:
    console = Console(width=width, height=30)
    with console.capture() as captured:
        console.print(draw(FULL, width, 30, elapsed=112.0))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    joined = " ".join(text.split())
    for words in ("28 of 40", "3 of 30, plans of the front", "12 complete, 15 stopped, 1 failed, 1 running",
                  "1m52s elapsed", "16.8 trials/min", "[Errno 28] no space [bold]left[/bold]",
                  "hypervolume 0.7421"):  # fmt: skip
        assert words in joined


def test_the_clock_goes_on_while_nothing_happens() -> None:
    end = time.monotonic() + 61.9
    shown = []
    for elapsed in (10.0, 75.0):
        console = Console(width=120)
        with console.capture() as captured:
            console.print(draw(View(1, tests=(0, 3), end=end), 120, 30, elapsed))
        shown.append(captured.get())
    assert "0m10s elapsed, ETA 1m01s, final tests included" in shown[0]
    assert "1m15s elapsed" in shown[1]


def test_a_plot_has_its_points_where_they_belong() -> None:
    rows = character_plot([("·", [(0.0, 0.5), (0.5, 0.1)]), ("●", [(1.0, 1.0)])], low=0.25, width=11, height=4)
    assert rows[0] == "  1.00 │          ●"
    assert [row for row in rows if "·" in row] == ["       │·"], "a point under the floor is left out"


@pytest.mark.slow
def test_the_first_words_come_before_the_slow_imports() -> None:
    """The options are refused after the first words, so the process ends early."""
    words = [sys.executable, "-m", "search.run", "--model", "/no/such/folder"]
    begin = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        first, seconds = process.stdout.readline(), time.monotonic() - begin
    assert first.startswith("reading settings, model configuration and data")
    assert seconds < 15, "3 s on a quiet machine; imports of torch and transformers alone take longer on a busy one"
