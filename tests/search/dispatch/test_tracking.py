"""Experiment trackers receive the search as it runs, without Ray too."""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from search.dispatch.in_process import run_here
from search.dispatch.whole_search import WholeSearch
from search.settings import Settings
from search.trackers import check_packages
from tests.search.loop.test_controller import Broken, records_of
from tests.search.pretend import PretendWorker, problem_of, settings_in


def run(settings: Settings, worker: PretendWorker | None = None) -> int:
    chosen = worker or PretendWorker()
    return WholeSearch(settings, problem_of(settings), lambda *running: run_here(*running, chosen)).run()


def events(folder: Path) -> Iterator[Event]:
    """The events of TensorBoard's files: length, checksum, message, checksum."""
    for file in sorted(folder.glob("*tfevents*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def failing(settings: Settings) -> PretendWorker:
    """A worker that fails at two trials."""

    def fail() -> None:
        raise ValueError("broken on purpose")

    return Broken(lambda request: request.number in (2, 5), fail, rung=0)


def test_tensorboard_has_rungs_trials_failures_and_the_front(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "run", budget=12, strategy="random", callbacks=["tensorboard"])
    assert run(settings, failing(settings)) == 0
    numbers: dict[str, dict[int, float]] = {}
    texts: dict[str, list[str]] = {}
    for event in events(tmp_path / "run" / "tensorboard"):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                numbers.setdefault(value.tag, {})[event.step] = value.simple_value
            else:
                name = value.tag.removesuffix("/text_summary")
                texts.setdefault(name, []).append(value.tensor.string_val[0].decode())
    records = records_of(settings)
    full = {r.trial.number: r.on("search")[-1].accuracy for r in records if r.is_complete}
    assert numbers["trial/accuracy"] == pytest.approx(full)
    assert set(numbers["rung_0/accuracy"]) == {r.trial.number for r in records if r.rungs}
    assert any(name.startswith("test/seed_0") for name in numbers)
    failed = [r.trial.number for r in records if r.trial.state == "failed"]
    assert len(failed) == 2
    rows = [line for line in texts["failures"][-1].splitlines() if "broken on purpose" in line]
    assert [int(row.split("|")[1]) for row in rows] == failed
    front = max(numbers["front/plans"].items())[1]
    assert texts["front"][-1].count("\n| ") == front
    assert "- budget: `12`" in texts["settings"][0]


class FakeWandb(ModuleType):
    """Records what it is given; fails at the fourth call of `log`."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = SimpleNamespace(name="wandb")  # type: ignore[assignment]
        self.summary: dict[str, str] = {}
        self.logged: list[dict[str, float]] = []
        self.options: dict[str, Any] = {}
        self.finished = False

    def init(self, **options: Any) -> "FakeWandb":
        self.options = options
        return self

    def define_metric(self, *_: str, **options: str) -> None: ...

    def log(self, values: dict[str, float]) -> None:
        self.logged.append(values)
        if len(self.logged) == 4:
            raise ConnectionError("the server is away")

    def finish(self) -> None:
        self.finished = True


def test_a_tracker_whose_server_goes_away_costs_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    settings = settings_in(tmp_path / "run", budget=6, strategy="random", callbacks=["wandb", "tensorboard"])
    assert run(settings) == 0
    assert wandb.options["config"]["budget"] == 6 and wandb.options["resume"] == "allow"
    assert wandb.logged[0]["trial"] == 0 and "rung_0/accuracy" in wandb.logged[0]
    assert len(wandb.logged) == 4 and not wandb.finished
    assert capsys.readouterr().out.count("warning: --callbacks wandb is left out from here on (ConnectionError") == 1
    assert len({event.step for event in events(tmp_path / "run" / "tensorboard")}) >= 6


def test_a_missing_package_is_named_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
    with pytest.raises(ValueError, match="--callbacks mlflow needs the package mlflow, which is missing: pip install"):
        check_packages(("tensorboard", "mlflow"))
