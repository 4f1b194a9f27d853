"""Weights & Biases and MLflow themselves, without servers; runs where `pip install 'skipsearch[trackers]'` ran."""

import json
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.settings import Settings
from tests.search.dispatch.test_tracking import failing, run
from tests.search.loop.test_controller import records_of
from tests.search.pretend import settings_in

BLOCK = 32768
"""Size in bytes of the blocks of a W&B file, which is a log of LevelDB."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder without servers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def searched(folder: Path, tracker: str, **changes: Any) -> Settings:
    """Run a search in which two trials fail, and resume it with a larger budget."""
    settings = settings_in(folder / "run", budget=8, strategy="random", callbacks=[tracker], **changes)
    assert run(settings, failing(settings)) == 0
    settings = settings.model_copy(update={"budget": 10})
    assert run(settings) == 0
    return settings


def failures_in(table: str) -> list[int]:
    return [int(row.split("|")[1]) for row in table.splitlines() if "broken on purpose" in row]


def test_mlflow_has_one_run_with_trials_front_and_failures(here: Path) -> None:
    """Read from the tables of its database and the files of its artifacts, not through mlflow."""
    pytest.importorskip("mlflow")
    settings = searched(here, "mlflow")
    records = records_of(settings)
    with sqlite3.connect(here / "mlflow.db") as database:
        runs = database.execute("select run_uuid, status, artifact_uri from runs").fetchall()
        metrics = database.execute("select key, step, value from metrics").fetchall()
        parameters = dict(database.execute("select key, value from params").fetchall())
    assert [status for _, status, _ in runs] == ["FINISHED"], "a resumed search continues its run"
    full = {r.trial.number: r.on("search")[-1].accuracy for r in records if r.is_complete}
    assert {step: value for key, step, value in metrics if key == "trial/accuracy"} == pytest.approx(full)
    assert any(key.startswith("test/seed_0/accuracy") for key, _, _ in metrics)
    assert parameters["strategy"] == "random"
    artifacts = Path(runs[0][2].removeprefix("file://"))
    plans = max((step, value) for key, step, value in metrics if key == "front/plans")[1]
    assert (artifacts / "front.md").read_text().count("\n| ") == plans
    failed = [r.trial.number for r in records if r.trial.state == "failed"]
    assert len(failed) == 2 and failures_in((artifacts / "failures.md").read_text()) == failed


def messages(file: Path) -> Iterator[bytes]:
    """The messages of a W&B file: header of 7 bytes, then blocks of parts (checksum, length, type, content)."""
    content, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole message, or its last part
            yield whole
            whole = b""


def test_wandb_offline_has_trials_front_and_failures(here: Path) -> None:
    """Read from the files that it leaves for `wandb sync`, not through wandb."""
    pytest.importorskip("wandb")
    from wandb.proto.wandb_internal_pb2 import Record  # the format of the messages

    settings = searched(here, "wandb")
    records = records_of(settings)
    history: list[dict[str, Any]] = []
    summary: dict[str, Any] = {}
    runs = set()
    for file in sorted(here.glob("run/wandb/offline-run-*/*.wandb")):
        for each in map(Record.FromString, messages(file)):
            rows = each.history.item
            history += [{r.key or "/".join(r.nested_key): json.loads(r.value_json) for r in rows}] if rows else []
            summary |= {r.key or "/".join(r.nested_key): json.loads(r.value_json) for r in each.summary.update}
            runs |= {each.run.run_id} if each.run.run_id else set()
    assert len(runs) == 1, "a resumed search continues its run"
    full = {r.trial.number: r.on("search")[-1].accuracy for r in records if r.is_complete}
    assert {row["trial"]: row["trial/accuracy"] for row in history if "trial/accuracy" in row} == pytest.approx(full)
    plans = [row["front/plans"] for row in history if "front/plans" in row][-1]
    assert summary["front"].count("\n| ") == plans
    assert failures_in(summary["failures"]) == [r.trial.number for r in records if r.trial.state == "failed"]
