"""`python -m search.export` as a user runs it: real processes on a small search of the embedded model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from search.export import app, export_plan
from search.loop.problem import Problem
from search.settings import Settings
from search.storage.find_run import open_results
from search.storage.results import Results
from search.storage.run_id import write_run_id
from spaces.plan import Plan
from tests.command import call
from workers.reports import RungReport
from workers.requests import Rung
from workers.trial import Worker

PLANS = {0: "." * 12, 1: "." * 6 + "b" * 6, 2: "..a..p......"}
RUNGS = (Rung(questions=16),)


def command(run: Path, *words: str | Path) -> list[str]:
    return [sys.executable, "-m", "search.export", "--out", str(run), "--engines", "none", *map(str, words)]


def export(run: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(run, *words), capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as a search writes it: real numbers of three plans, without the search around them."""
    folder = tmp_path_factory.mktemp("run") / "demo"
    folder.mkdir()
    problem = Problem.resolve(Settings(budget=4, out=folder, rungs=RUNGS, threads=1))
    results = Results.create(
        problem.settings.storage_url, "0" * 32, "demo", problem.settings.model_dump(mode="json"), problem.describe()
    )
    write_run_id(folder, "0" * 32)
    worker = Worker()
    for number, text in PLANS.items():
        request = problem.request(number, Plan.parse(text))
        results.start_trial(number, request, origin="by hand", attempt=1)
        for rung in worker.rungs(request):
            stored = with_module(rung, worker, folder) if number == 1 else rung
            results.add_rung(number, stored, rung.costs["flops_ratio"])
        results.end_trial(number, "complete", None, None)
    results.start_trial(3, problem.request(3, Plan.parse("b" * 12)), origin="by hand", attempt=1)
    results.end_trial(3, "failed", "on purpose", None)
    results.close()
    return folder


def with_module(rung: RungReport, worker: Worker, folder: Path) -> RungReport:
    """As if the trial had tuned its mapping module: stored as it is."""
    from safetensors.torch import save_file

    assert worker.session is not None
    (folder / "artifacts").mkdir()
    state = {name: tensor.contiguous() for name, tensor in worker.session.dense.items()}
    save_file(state, folder / "artifacts" / "trial-000001.safetensors")
    return rung.model_copy(update={"artifact": "trial-000001.safetensors"})


@pytest.mark.slow
class TestExport:
    def test_a_half_block_plan_is_small_and_what_was_searched(self, run: Path, tmp_path: Path) -> None:
        done = export(run, "--to", tmp_path / "model", "--max-flops", "0.9", "--questions", "64")
        assert done.returncode == 0, done.stderr
        assert "Trial 1: the best accuracy at or below 0.9 of the dense FLOPs" in done.stdout
        assert "logits bit-equal" in done.stdout
        made = json.loads((tmp_path / "model" / "plan.json").read_text())
        assert (made["run"], made["trial"], made["tuned"], made["badge"]) == ("demo", 1, True, "transformers")
        assert made["metrics"]["search"]["questions"] == 16
        assert made["metrics"]["dense"]["search"]["accuracy"] > made["metrics"]["search"]["accuracy"]
        assert made["measured"]["weight_bytes"]["exported"] < 0.6 * made["measured"]["weight_bytes"]["dense"]
        assert all(seconds["exported"] > 0 for seconds in made["measured"]["seconds"].values())
        assert "██████░░░░░░" in (tmp_path / "model" / "README.md").read_text()
        assert list((run / "exports").glob("*.json"))

    def test_the_front_in_one_folder_from_python(self, run: Path, tmp_path: Path) -> None:
        said: list[str] = []
        numbers = export_plan(run, tmp_path / "front", front=True, questions=16, engines="none", say=said.append)
        assert sorted(numbers) == sorted(
            int(path.name.removeprefix("trial-")) for path in (tmp_path / "front").iterdir()
        )
        assert len(numbers) >= 2
        assert any("one of the" in line for line in said)

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
    def test_stopped_while_it_writes(self, run: Path, tmp_path: Path, how: signal.Signals) -> None:
        old = tmp_path / "model"
        old.mkdir()
        (old / "mine").write_text("old")
        started = subprocess.Popen(
            command(run, "--to", old, "--trial", "1", "--force"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
        )  # fmt: skip
        while not list(tmp_path.glob(".model.partial-*/model.safetensors")):
            assert started.poll() is None, started.communicate()
            time.sleep(0.02)
        started.send_signal(how)
        _, errors = started.communicate(timeout=60)
        assert [path.name for path in old.iterdir()] == ["mine"]
        assert started.returncode == (-9 if how == signal.SIGKILL else 130)
        assert "Traceback" not in errors
        if how != signal.SIGKILL:
            assert "is unchanged" in errors
            assert [path.name for path in tmp_path.iterdir()] == ["model"]


BAD = [
    ({"trial": 9}, "got 9: there are 0 to 3"),
    ({"trial": 3}, "which is failed"),
    ({"plan": "..x"}, "unknown op 'x'"),
    ({"plan": "..."}, "12, got 3"),
    ({"max_flops": 0.1}, "the nearest is trial 1"),
    ({"min_accuracy": 1.5}, "the nearest is trial"),
    ({}, "exactly one of --trial"),
    ({"knee": True, "front": True}, "got --knee and --front"),
    ({"kne": True}, "did you mean 'knee'"),
    ({"trial": 1, "form": "ggml"}, "unknown export format 'ggml'"),
    ({"trial": 1, "dtype": "float8"}, "--dtype"),
    ({"plan": "...........p", "form": "transformers"}, "--format auto"),
]


@pytest.mark.parametrize(("given", "told"), BAD, ids=[str(given) for given, _ in BAD])
def test_bad_input_is_one_line_and_writes_nothing(run: Path, tmp_path: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as caught:
        export_plan(run, tmp_path / "model", **given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_command_ends_with_code_2_and_one_line(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    for words, told in (
        (["--to", tmp_path / "taken", "--knee"], "--force replaces it"),
        (["--to", "/proc/nope/model", "--trial", "1"], "must be a folder that can be written"),
    ):
        done = call(app, "--out", run, *words)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert told in done.stderr
    nowhere = call(app, "--out", tmp_path, "--to", tmp_path / "model", "--knee")
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
    assert "without a search.db" in nowhere.stderr


def test_a_base_model_that_changed_or_a_lost_module(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import workers.export.write as writing

    (run / "artifacts" / "trial-000001.safetensors").rename(run / "artifacts" / "moved")
    with pytest.raises(ValueError, match=r"trial-000001\.safetensors is missing"):
        export_plan(run, tmp_path / "model", trial=1)
    (run / "artifacts" / "moved").rename(run / "artifacts" / "trial-000001.safetensors")
    monkeypatch.setattr(writing, "fingerprint_model", lambda _: "0123456789abcdef")
    with pytest.raises(ValueError, match=r"the model must be that of the search, got embedded .*0123456789abcdef"):
        export_plan(run, tmp_path / "model", trial=1)
    assert not list(tmp_path.iterdir())


def test_selecting_needs_no_torch(run: Path) -> None:
    code = f"""
import sys
from search.export import app, export_plan
try:
    export_plan({str(run)!r}, "nowhere", trial=99)
except ValueError:
    assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert open_results(run, None).run.name == "demo"


@pytest.mark.slow
@pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="a disk of its own needs a mount namespace",
)
def test_a_disk_that_fills_up_while_it_writes(run: Path, tmp_path: Path) -> None:
    """The weights fit, what comes after them doesn't; the place is then as it was."""
    done = export(run, "--to", tmp_path / "fits", "--trial", "1", "--questions", "16")
    assert done.returncode == 0, done.stderr
    room = (tmp_path / "fits" / "model.safetensors").stat().st_size + 4096
    disk = tmp_path / "disk"
    disk.mkdir()
    words = command(run, "--to", disk / "model", "--trial", "1", "--questions", "16")
    script = f'mount -t tmpfs -o size={room} none {disk} && "$@"; code=$?; ls -A {disk}; exit $code'
    full = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *words], capture_output=True, text=True, timeout=600, check=False
    )
    assert full.returncode == 2, full.stderr
    assert "No space left on device" in full.stderr
    assert "Traceback" not in full.stderr
    assert "model" not in full.stdout.splitlines()[-1]
