"""The commands as a user runs them: real processes, the embedded model, a small budget."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spaces.plan import Plan

SMALL = ("--rungs", "0:64,4:64,8:128", "--threads", "1")


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
        assert not modules & {"numpy", "pydantic", "sqlalchemy"}, "help answers at once"
    assert not list(tmp_path.iterdir()), "a dry run creates nothing"


@pytest.mark.parametrize(("strategy", "count"), [("guided", 4), ("random", 7)])
def test_a_dry_run_names_the_baselines_that_the_strategy_starts_after(
    tmp_path: Path, strategy: str, count: int
) -> None:
    done = run("search.run", "--dry-run", "--budget", "30", "--strategy", strategy, cwd=tmp_path)
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
            if trial["plan"] != dense["plan"]:
                assert [each["seed"] for each in trial["test"]["seeds"]] == [0, 1, 2]
            assert Plan.parse(trial["plan"])

    def test_the_front_run_again_by_hand_gives_the_stored_numbers(self, folder: Path) -> None:
        report = json.loads(run("search.report", "--out", "runs/demo", "--json", cwd=folder).stdout)
        for trial in report["front"]:
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


@pytest.mark.slow
def test_masks_are_made_and_searched_with(tmp_path: Path) -> None:
    for kind in ("color_at", "where_is"):
        made = run(
            "workers.pruning", "make", "--pruning", "w50", "--kind", kind, "--to", f"{kind}.safetensors", cwd=tmp_path
        )
        assert "0.5000 of the weights of 12 blocks" in made.stdout, made.stderr
    joined = run(
        "workers.pruning", "intersect", "color_at.safetensors", "where_is.safetensors", "--to", "both", cwd=tmp_path
    )
    assert joined.returncode == 0, joined.stderr
    space = ("--space", "full", "--prunings", "saved,ffn50", "--masks", "both", "--minimize", "sparse_flops")
    done = run("search.run", "--budget", "8", "--out", "run", *space, *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(run("search.report", "--out", "run", "--json", cwd=tmp_path).stdout)
    assert report["counts"]["trials"] == 8 and not report["counts"].get("failed")
    dense = report["dense"]["flops"]
    assert all(trial["flops_ratio"] == pytest.approx(trial["sparse_flops"] / dense) for trial in report["front"])
    request = run("search.report", "--out", "run", "--request", "1", cwd=tmp_path).stdout
    assert json.loads(request)["model"]["masks"] == str(tmp_path / "both")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_stopped_run_goes_on_with_every_trial_once(tmp_path: Path, how: signal.Signals) -> None:
    command = [sys.executable, "-m", "search.run", "--budget", "14", "--out", "run", "--strategy", "random", *SMALL]
    for stop_after in (2, 5):
        lines = 0
        with subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores it
        ) as process:  # fmt: skip
            assert process.stdout is not None
            for line in process.stdout:
                lines += line.startswith("trial=")
                if lines >= stop_after - (0 if stop_after == 2 else 2):
                    time.sleep(0.3)
                    process.send_signal(how)
                    rest = process.stdout.read()
                    break
            process.wait(timeout=120)
        assert process.returncode == (-9 if how == signal.SIGKILL else 130)
        if how == signal.SIGINT:
            assert "the same command goes on" in rest
            assert "Traceback" not in rest
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    report = json.loads(run("search.report", "--out", "run", "--json", cwd=tmp_path).stdout)
    counts = report["counts"]
    assert counts["trials"] == 14
    assert counts.get("complete", 0) + counts.get("pruned", 0) == 14, "a dead controller fails no trial"
    events = json.loads(run("search.status", "--out", "run", "--json", cwd=tmp_path).stdout)["events"]
    assert any(event["kind"] == "resume" for event in events)


BAD = [
    (["--space", "layer"], "did you mean 'layers'"),
    (["--strategy", "evolutoin"], "did you mean 'evolution'"),
    (["--focus", "0.4-0.7"], "--focus must be LOW:HIGH such as 0.4:0.7, got '0.4-0.7'"),
    (["--warm-start", "runs/gone"], "--warm-start must be the folder of a run"),
    (["--model", "empty"], "config.json"),
    (["--budget", "0"], "got 0"),
    (["--budget", "-1"], "got -1"),
    (["--final-seeds", "0"], "final_seeds: input should be greater than or equal to 1, got 0"),
    (["--out", "file/run"], "--out must be a folder that can be written"),
    (["--storage", "sqlite:////proc/nope/search.db"], "can't be created"),
    (["--storage", "mysqll://x"], "--storage must be a database URL"),
    (["--storage", "sqlite://"], "outlive"),
    (["--max-flops", "0.01", "--space", "blocks"], "nearest reachable"),
    (["--rungs", "0:abc"], "steps:questions"),
    (["--config", "missing.yaml"], "--config"),
    (["--dataset", "empty"], "data set"),
    (["--dataset", "no-images"], "image"),
    (["--dataset", "no-images", "--image-column", "pictures"], "unknown image column"),
    (["--streaming"], "--max-eval"),
]


@pytest.mark.parametrize(("arguments", "told"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_line_and_creates_nothing(tmp_path: Path, arguments: list[str], told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "no-images").mkdir()
    (tmp_path / "no-images" / "data.jsonl").write_text('{"question": "how many?", "answer": "2"}\n' * 8)
    before = sorted(tmp_path.rglob("*"))
    done = run("search.run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    *progress, error = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert not [line for line in progress if "Generating" not in line], done.stderr
    assert sorted(tmp_path.rglob("*")) == before
