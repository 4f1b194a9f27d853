"""The commands on data sets of the user's own: captions, multiple choice and questions, from flags to report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.run import app
from tests.command import call
from tests.workers.saved_data import Rows, captions, choices, questions, save
from tests.workers.tiny import save_tiny


def run(*words: str | Path, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *map(str, words)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, input=stdin, env=offline)


def renamed(rows: Rows, **names: str) -> Rows:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def ten(number: int, first: int = 0) -> Rows:
    """Questions as in VQA: ten people asked about each."""
    return [{**row, "answers": ["red"] * 6 + ["blue"] * 4} for row in questions(number, first)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


SETS = {
    # format, rows, flags, task, metric
    "captions": ("image_folder", captions, ["--prompt", "what is the color ?"], "captions", "cider"),
    "choices": (
        "json_lines",
        lambda number, first=0: renamed(choices(number, first), choices="texts", answer="right"),
        ["--choices-column", "texts", "--answer-column", "right", "--choices-as", "text"],
        "multiple choice",
        "choice",
    ),
    "vqa": ("parquet", ten, ["--streaming", "--max-eval", "9"], "questions", "vqa"),
    "loss": ("save_to_disk", questions, ["--metric", "loss"], "questions", "loss"),
}


def prepared(folder: Path, model: Path, name: str) -> list[str | Path]:
    """A data set in the folder, and the arguments to search it."""
    form, rows, flags, _, _ = SETS[name]
    save(form, folder / "set", {"train": rows(16), "validation": rows(6, 100), "test": rows(6, 200)})
    return [
        "--model",
        model,
        "--dataset",
        folder / "set",
        "--space",
        "blocks",
        "--threads",
        "1",
        "--allow-blind",
        *flags,
    ]


@pytest.mark.parametrize("name", SETS)
def test_a_dry_run_says_how_the_data_are_read(tmp_path: Path, model: Path, name: str) -> None:
    done = call(app, *prepared(tmp_path, model, name), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, _, _, task, metric = SETS[name]
    assert f"{task}, metric {metric}" in " ".join(done.stdout.split())
    assert "image from 'image'" in done.stdout
    assert "search 6" in done.stdout or "search 9" in done.stdout or "search 12" in done.stdout


@pytest.mark.parametrize(
    ("storage", "why"),
    [
        ("postgresql+psycopg://nobody@127.0.0.1:1/x", "can't be opened"),
        ("sqlite:////dev/null/x.db", "must be a writable folder"),
    ],
)
def test_a_dry_run_says_that_the_database_cannot_be_reached(
    tmp_path: Path, model: Path, storage: str, why: str
) -> None:
    done = call(app, *prepared(tmp_path, model, "loss"), "--storage", storage, "--dry-run", cwd=tmp_path)
    assert done.returncode == 2
    assert why in done.stderr
    assert "\n" not in done.stderr.strip()
    assert not (tmp_path / "runs").exists()


def test_a_model_that_does_not_see_ends_the_command_with_exit_code_2(tmp_path: Path, model: Path) -> None:
    """Random weights answer nothing right, which is no better than any constant answer."""
    arguments = [each for each in prepared(tmp_path, model, "vqa") if each != "--allow-blind"]
    done = call(app, *arguments, "--rungs", "0:4", "--budget", "3", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "dense model must be better than the floor" in done.stderr
    assert "--allow-blind" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["captions", "choices", "vqa"])
def test_a_search(tmp_path: Path, model: Path, name: str) -> None:
    _, _, _, task, metric = SETS[name]
    arguments = [*prepared(tmp_path, model, name), "--budget", "3", "--rungs", "0:4,2:all", "--out", "run"]
    done = run("search.run", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(run("search.report", "--out", "run", "--json", cwd=tmp_path).stdout)
    assert report["counts"]["trials"] == report["counts"]["complete"] + report["counts"].get("stopped", 0) == 3
    assert report["settings"]["metric"] == metric, "what was guessed is stored"
    assert report["origin"]["data"]["task"] == task
    for trial in report["front"]:
        assert 0 <= trial["accuracy"] <= 1
        assert trial["test"]["accuracy"] is not None
    if name == "choices":
        exported = run(
            "search.export", "--out", "run", "--trial", "0", "--engines", "none", "--to", "model", cwd=tmp_path
        )
        assert exported.returncode == 0, exported.stderr
        card = (tmp_path / "model" / "README.md").read_text()
        assert "| exact match, 6 test questions |" in card, "answers are generated there: no likelihoods to score"


@pytest.mark.slow
def test_a_search_is_taken_up_and_run_by_hand_with_the_metric_it_found(tmp_path: Path, model: Path) -> None:
    arguments = [*prepared(tmp_path, model, "loss")[:-2], "--rungs", "0:all", "--out", "run"]
    for budget in ("1", "2"):
        done = run("search.run", *arguments, "--budget", budget, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    request = json.loads(run("search.report", "--out", "run", "--request", "0", cwd=tmp_path).stdout)
    assert request["metric"] == "exact_match"
    by_hand = run("workers", "-", cwd=tmp_path, stdin=json.dumps({**request, "metric": None}))
    assert json.loads(by_hand.stdout)["origin"]["metric"] == "exact_match"
    refused = run("workers", "-", cwd=tmp_path, stdin=json.dumps({**request, "metric": "choice"}))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: the metric choice needs multiple-choice data")


def test_a_file_of_settings_says_the_same_as_flags(tmp_path: Path, model: Path) -> None:
    by_flags = call(app, *prepared(tmp_path, model, "choices"), "--dry-run", cwd=tmp_path)
    (tmp_path / "search.yaml").write_text(
        f"model: {model}\nspace: blocks\nthreads: 1\nallow_blind: true\n"
        f"dataset: {{name: {tmp_path / 'set'}, choices_column: texts, answer_column: right, choices_as: text}}\n"
    )
    by_file = call(app, "--config", "search.yaml", "--dry-run", cwd=tmp_path)
    assert by_file.returncode == 0, by_file.stderr
    # the last line is an estimate of time
    assert by_file.stdout.splitlines()[:-1] == by_flags.stdout.splitlines()[:-1]


@pytest.mark.slow
def test_broken_images_are_counted_and_refused_above_the_share(tmp_path: Path, model: Path) -> None:
    arguments = [*prepared(tmp_path, model, "choices"), "--dry-run"]
    (tmp_path / "set" / "images" / "203.png").write_bytes(b"broken")
    refused = call(app, *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert "1 of 6 rows of 'test'" in refused.stderr
    # a process of its own, where what the program logs goes to the terminal
    allowed = run("search.run", *arguments, "--max-unreadable", "0.2", cwd=tmp_path)
    assert allowed.returncode == 0
    assert "test 6 (1 unusable left out)" in " ".join(allowed.stdout.split())
    assert "1 of 6 rows of 'test'" in allowed.stderr


@pytest.mark.parametrize(
    ("name", "flags", "told"),
    [
        ("vqa", ["--metric", "choice"], "the metric choice needs multiple-choice data, got questions"),
        ("vqa", ["--search-split", "validaton"], "did you mean 'validation'"),
        ("captions", ["--answer-column", "caption"], "did you mean 'captions'"),
        ("choices", ["--prompt", "Answer."], "the prompt must have {question}"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, model: Path, name: str, flags: list[str], told: str) -> None:
    done = call(app, *prepared(tmp_path, model, name), *flags, "--out", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
