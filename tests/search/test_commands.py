"""The commands as a user runs them: real processes, the embedded model, a small budget."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.run import app
from spaces.plan import Plan

SMALL = ("--rungs", "0:48,2:48,4:96", "--max-eval", "128", "--threads", "1")
QUICK = (*SMALL, "--final-seeds", "1")
"""For tests that look at something else than the final one."""


def run(*words: str | Path, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, input=stdin)


def imported_by(code: str) -> set[str]:
    """Modules loaded after running some code in a fresh process."""
    script = f"{code}\nimport sys, json\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["--dry-run"]])
def test_help_and_dry_run_do_not_import_torch(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
import os, runpy, sys
os.chdir({str(tmp_path)!r})
sys.argv = ["search.run", *{arguments!r}]
try:
    runpy.run_module("search.run", run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    modules = imported_by(code)
    assert not modules & {"torch", "transformers", "ray", "optuna.storages"}
    if arguments == ["--help"]:
        assert not modules & {"sqlalchemy", "optuna", "datasets", "PIL"}, "help answers at once"
    assert not list(tmp_path.iterdir()), "a dry run creates nothing"


@pytest.mark.parametrize(("strategy", "count"), [("guided", 3), ("random", 7)])
def test_a_dry_run_names_the_baselines_that_the_strategy_starts_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, count: int
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["--dry-run", "--budget", "30", "--strategy", strategy])
    named = done.stdout.partition("\nbaselines")[2].partition("\nworkers")[0].split(", ")
    assert named[0].strip() == "dense" and len(named) == count


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a small search on the embedded model has been run."""
    folder = tmp_path_factory.mktemp("commands")
    done = run("search.run", "--budget", "10", "--out", "runs/demo", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    for expected in ("Pareto front", "10 of 10 trials", "search.db", "python -m search.report"):
        assert expected in done.stdout
    assert sum(line.startswith("trial=") for line in done.stdout.splitlines()) == 10
    return folder


@pytest.mark.slow
class TestOneSearch:
    """One small search, looked at from all sides."""

    def test_report_prints_table_picture_and_json(self, folder: Path) -> None:
        done = run("search.report", "--out", "runs/demo", "--picture", "here.png", cwd=folder)
        assert "Pareto front" in done.stdout
        assert (folder / "here.png").read_bytes().startswith(b"\x89PNG")
        report = json.loads(run("search.report", "--out", "runs/demo", "--json", cwd=folder).stdout)
        assert report["counts"]["trials"] == 10
        assert report["settings"]["budget"] == 10
        assert 0 < report["hypervolume"] < 1
        dense = report["dense"]
        assert dense["plan"] == "." * 12
        assert dense["flops_ratio"] == 1.0
        assert {rung["split"] for rung in dense["rungs"]} == {"search", "test"}
        for trial in report["front"]:
            low, high = trial["test"]["interval"]
            assert low <= trial["test"]["accuracy"] <= high
            assert Plan.parse(trial["plan"])
        seeds = [[each["seed"] for each in trial["test"]["seeds"]] for trial in report["front"]]
        assert seeds[0] == [0, 1, 2], "the cheapest plan; others may be no better than a cheaper one beyond chance"
        assert all(each in ([0], [0, 1, 2]) for each in seeds)

    def test_the_front_run_again_by_hand_gives_the_stored_numbers(self, folder: Path) -> None:
        report = json.loads(run("search.report", "--out", "runs/demo", "--json", cwd=folder).stdout)
        front = report["front"]
        for trial in (front[0], front[len(front) // 2], front[-1]):
            request = run("search.report", "--out", "runs/demo", "--request", str(trial["number"]), cwd=folder)
            again = json.loads(run("workers", "-", cwd=folder, stdin=request.stdout).stdout)
            stored = [rung for rung in trial["rungs"] if rung["split"] == "search"]
            assert [rung["accuracy"] for rung in again["rungs"]] == [rung["accuracy"] for rung in stored]
            assert again["rungs"][-1]["costs"]["flops"] == trial["flops"]

    def test_status_and_a_second_start(self, folder: Path) -> None:
        status = json.loads(run("search.status", "--out", "runs/demo", "--json", cwd=folder).stdout)
        assert (status["phase"], status["ended"], status["running"]) == ("finished", 10, [])
        again = run("search.run", "--budget", "10", "--out", "runs/demo", *SMALL, cwd=folder)
        assert again.returncode == 0
        assert "trial=" not in again.stdout, "nothing is run twice"

    def test_other_settings_on_the_same_folder_are_refused(self, folder: Path) -> None:
        done = run("search.run", "--budget", "10", "--out", "runs/demo", "--seed", "1", *SMALL, cwd=folder)
        assert done.returncode == 2
        assert "seed was 0, now 1" in done.stderr

    def test_an_unknown_trial_is_refused(self, folder: Path) -> None:
        done = run("search.report", "--out", "runs/demo", "--request", "99", cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert "got 99" in done.stderr


BAD = [
    (["--space", "layer"], "did you mean 'layers'"),
    (["--strategy", "evolutoin"], "did you mean 'evolution'"),
    (["--focus", "0.4-0.7"], "--focus must be LOW:HIGH such as 0.4:0.7, got '0.4-0.7'"),
    (["--warm-start", "runs/gone"], "--warm-start must be the folder of a run"),
    (["--model", "empty"], "config.json"),
    (["--budget", "0"], "got 0"),
    (["--workers", "many"], "--workers must be auto or a whole number from 1 on, got 'many'"),
    (["--budget", "-1"], "got -1"),
    (["--final-seeds", "0"], "final_seeds: input should be greater than or equal to 1, got 0"),
    (["--out", "file/run"], "--out must be a writable folder"),
    (["--storage", "sqlite:////proc/nope/search.db"], "can't be created"),
    (["--storage", "mysqll://x"], "--storage must be a database URL"),
    (["--storage", "sqlite://"], "must be a file or a server"),
    (["--max-flops", "0.01", "--space", "blocks"], "nearest reachable"),
    (["--rungs", "0:abc"], "steps:questions"),
    (["--config", "missing.yaml"], "--config"),
    (["--dataset", "empty"], "data set"),
    (["--dataset", "no-images"], "image"),
    (["--dataset", "no-images", "--image-column", "pictures"], "unknown image column"),
    (["--streaming"], "--max-eval"),
    (["--device", "cuda"], "--device cuda needs a GPU"),
    (["--device", "c u d a"], "--device must be auto, cpu, cuda or cuda:N, got 'c u d a'"),
    (["--model", "embeded"], "did you mean 'embedded'?"),
    (["--dataset", "embeded"], "did you mean 'embedded'?"),
    (["--gpus-per-trial", "1"], "--gpus-per-trial needs Ray, got 1 without it"),
    (["--time-limit", "inf", "--dry-run"], "time_limit: input should be a finite number, got inf"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "no-images").mkdir()
    (tmp_path / "no-images" / "data.jsonl").write_text('{"question": "how many?", "answer": "2"}\n' * 8)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    *progress, error = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert not [line for line in progress if "Generating" not in line], done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_mistake_in_a_command_of_its_own_process_is_one_line(tmp_path: Path) -> None:
    done = run("search.run", "--space", "layer", cwd=tmp_path)
    assert done.returncode == 2 and len(done.stdout.splitlines()) <= 1, "at most the first words"
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "did you mean 'layers'" in line
    assert not list(tmp_path.iterdir())
