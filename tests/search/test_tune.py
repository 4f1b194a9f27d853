"""`python -m search.tune` as a user runs it: killed, continued, and exported."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from search.export import export_plan
from search.tune import app
from tests.command import call
from tests.search.test_export import run as finished_run
from workers.long_tuning_request import MODULE, RECORD, tuned_folder
from workers.models.model_files import checkpoint
from workers.sources import ModelSource

run = finished_run
OPTIONS = ("--trial", "1", "--steps", "12", "--every", "3", "--stop-after", "9")


@pytest.mark.slow
def test_a_killed_tuning_continues_ends_the_same_and_is_exported(run: Path, tmp_path: Path) -> None:
    folder = tuned_folder(run, 1)
    command = [sys.executable, "-m", "search.tune", "--out", str(run), *OPTIONS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        while not any(line.startswith("step 6 ") for line in started.stdout or ()):
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
    assert not (folder / RECORD).exists()
    told = call(app, "--out", run, *OPTIONS).stdout
    assert "continues at step 6 of 12" in told or "continues at step 9 of 12" in told
    parts = load_file(folder / MODULE)
    curve = [(point["step"], point["tune_accuracy"]) for point in json.loads((folder / RECORD).read_text())["curve"]]
    whole = call(app, "--out", run, *OPTIONS, "--restart").stdout
    assert "continues" not in whole
    assert all(torch.equal(tensor, parts[name]) for name, tensor in load_file(folder / MODULE).items())
    again = json.loads((folder / RECORD).read_text())
    assert [(point["step"], point["tune_accuracy"]) for point in again["curve"]] == curve

    said: list[str] = []
    export_plan(run, tmp_path / "model", trial=1, questions=16, engines="none", say=said.append)
    assert any("Mapping module: that of search.tune" in line for line in said)
    made = json.loads((tmp_path / "model" / "plan.json").read_text())
    assert made["metrics"]["test"]["accuracy"] == again["test"]["accuracy"]
    assert made["tuning"]["trainable"] == "mapping"
    exported = load_file(tmp_path / "model" / "model.safetensors")
    named = {name.rpartition("multi_modal_projector")[2]: tensor for name, tensor in exported.items()}
    assert all(torch.equal(named[name.rpartition("multi_modal_projector")[2]], each) for name, each in parts.items())


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--trainable", "lora:r=8,alpha=64"), ("--from-scratch",)])
def test_other_weights_and_a_fresh_start_are_tuned_and_exported(
    run: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    told = call(app, "--out", run, "--trial", "1", "--steps", "8", "--every", "4", "--restart", *options)
    assert told.returncode == 0
    start = "random weights" if "--from-scratch" in options else "the mapping module of the model"
    assert f"Trial 1: {'.' * 6}{'b' * 6}, 8 steps from {start}" in told.stdout
    record = json.loads((tuned_folder(run, 1) / RECORD).read_text())
    assert record["request"]["trial"]["mapping_module"] is None
    assert record["request"]["from_scratch"] == ("--from-scratch" in options)
    tuned = load_file(tuned_folder(run, 1) / MODULE)
    assert all((".lora_" in name) == ("--trainable" in options) for name in tuned)

    export_plan(run, tmp_path / "model", trial=1, questions=16, engines="none", say=lambda line: None)
    made = json.loads((tmp_path / "model" / "plan.json").read_text())
    assert made["metrics"]["test"]["accuracy"] == record["test"]["accuracy"]
    exported, base = (
        load_file(Path(place, "model.safetensors")) for place in (tmp_path / "model", checkpoint(ModelSource()))
    )
    for name, want in merged(tuned, base).items():
        torch.testing.assert_close(exported[name], want)
        assert not torch.equal(want, base[name])


def merged(tuned: dict[str, torch.Tensor], base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tuned weights by their names in a checkpoint: W + alpha / r * B A of low-rank adapters."""
    found = {}
    for name, weight in tuned.items():
        place = name.removeprefix("model.").replace(".lora_A.default", "")
        if ".lora_A." in name:
            found[place] = base[place] + 64 / 8 * tuned[name.replace("lora_A", "lora_B")] @ weight
        elif ".lora_B." not in name:
            found[place] = weight
    return found


def test_what_cannot_be_tuned_is_refused_in_a_line(run: Path) -> None:
    done = call(app, "--out", run, "--trial", "3")
    assert done.returncode == 2
    assert "--trial must be a complete trial, got 3, which is failed" in done.stderr
