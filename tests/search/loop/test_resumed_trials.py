"""A stopped plan may be continued by a later trial; no rung is measured again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import UniqueConstraint, create_engine

from objectives.dominance import non_dominated
from objectives.objectives import MAXIMIZE
from search.analysis.rank_flips import rank_flips
from search.loop.open_run import open_run
from search.settings import Settings
from search.storage.database_url import StorageError
from search.storage.tables import Table, Trial
from search.strategies.strategy import Observation, Proposal, Task
from spaces.plan import Plan
from tests.search.loop.test_controller import Broken, Stop, drive, records_of, search, study_of
from tests.search.pretend import PretendWorker, problem_of, settings_in, true_accuracy
from workers.requests import TrialRequest

POOR = Plan.parse("pppppppp")
"""As expensive as the dense plan and less accurate: stopped at the first rung."""


class SecondThoughts:
    """Tries a poor plan, then a random one, then goes on with the poor one."""

    def __init__(self, task: Task) -> None:
        self.space = task.space
        self.seen: list[Sequence[Observation]] = []

    def ask(self, history: Sequence[Observation], rng: np.random.Generator) -> Proposal:
        self.seen.append(history)
        poor = [trial for trial in history if trial.plan == POOR]
        if not poor:
            return Proposal(POOR, "poor")
        if poor[0].state == "stopped" and history[-1].plan != POOR:
            return Proposal(POOR, f"goes on with {poor[0].number}", resumes=poor[0].number)
        return Proposal(self.space.sample(rng), "random")


@pytest.fixture
def strategy(monkeypatch: pytest.MonkeyPatch) -> list[SecondThoughts]:
    made: list[SecondThoughts] = []

    def load(name: str, task: Task) -> SecondThoughts:
        made.append(SecondThoughts(task))
        return made[-1]

    monkeypatch.setattr("search.loop.open_run.load_strategy", load)
    return made


def requests_of(worker: PretendWorker) -> list[TrialRequest]:
    return [request for request in worker.requests if request.plan == POOR]


def test_it_goes_on_from_the_rung_it_was_stopped_at(tmp_path: Path, strategy: list[SecondThoughts]) -> None:
    settings, worker = settings_in(tmp_path / "run", budget=16), PretendWorker()
    records = search(settings, worker)
    stopped, resumed = (record for record in records if record.trial.plan == str(POOR))
    assert (stopped.trial.state, resumed.trial.state) == ("stopped", "complete")
    assert [rung.rung for rung in stopped.on("search")] == [0]
    assert [rung.rung for rung in resumed.on("search")] == [1, 2]
    assert [request.first_rung for request in requests_of(worker)] == [0, 1]
    assert len(records) == len(study_of(settings).trials) == 16, "it is a unit of the budget"
    row = study_of(settings).trials[resumed.trial.number]
    assert row.user_attrs["resumes"] == stopped.trial.number
    assert row.values[0] == pytest.approx(true_accuracy(POOR))


def test_a_strategy_sees_one_trial_a_plan_with_all_its_rungs(tmp_path: Path, strategy: list[SecondThoughts]) -> None:
    search(settings_in(tmp_path / "run", budget=16))
    last = strategy[0].seen[-1]
    (poor,) = [trial for trial in last if trial.plan == POOR]
    assert poor.full and len(poor.accuracies) == 3
    assert poor.margins is None, "nobody reads it here"
    assert len({trial.plan for trial in last}) == len(last)


@pytest.mark.slow
def test_killed_while_it_goes_on_it_goes_on_again(tmp_path: Path, strategy: list[SecondThoughts]) -> None:
    whole = search(settings_in(tmp_path / "whole", budget=16))
    settings = settings_in(tmp_path / "cut", budget=16)

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        search(settings, Broken(lambda request: request.first_rung == 1, stop, rung=1))
    (running,) = [record for record in records_of(settings) if record.trial.state == "running"]
    assert running.trial.plan == str(POOR)
    assert [rung.rung for rung in running.on("search")] == [1], "the rung that was finished is not lost"
    again = PretendWorker()
    cut = search(settings, again)
    assert [request.first_rung for request in requests_of(again)] == [1]
    assert [(r.trial.plan, r.trial.state) for r in cut] == [(r.trial.plan, r.trial.state) for r in whole]
    assert strategy[-1].seen[0] and all(trial.number != 8 for trial in strategy[-1].seen[0] if trial.full)


def test_it_counts_once_at_every_rung(tmp_path: Path, strategy: list[SecondThoughts]) -> None:
    settings = settings_in(tmp_path / "run", budget=16)
    search(settings)
    with open_run(settings, problem_of(settings)) as controller:
        history = controller.history
        plans = [history.record(n).plan for n in range(16)]
        assert len(history.peers_at(0, but=0)) == len(set(plans)) - 1 == 14
    flips = {(found.before, found.after): found for found in rank_flips(records_of(settings))}
    full = {r.trial.digest for r in records_of(settings) if r.trial.state == "complete"}
    assert flips["rung 0", "rung 2"].trials == len(full)


@pytest.mark.slow
def test_a_search_that_takes_trials_up_again_keeps_its_promises(tmp_path: Path) -> None:
    """The default strategy where cheap rungs mislead: plans are stopped, and some of them go on."""
    settings = settings_in(tmp_path / "run", budget=120, strategy="guided")

    class Misled(PretendWorker):
        """The first rung lowers the accuracy of plans by different amounts."""

        def rungs(self, request: TrialRequest):  # type: ignore[no-untyped-def]
            for report in super().rungs(request):
                lost = 0.1 * int(request.plan.digest[:2], 16) / 255 * (report.rung == 0)
                yield report.model_copy(update={"accuracy": report.accuracy - lost})

    with open_run(settings, problem_of(settings)) as controller:
        drive(controller, Misled())
        front = controller.history.front()
    records = records_of(settings)
    resumed = [r for r in records if r.trial.request["first_rung"]]
    assert resumed and len(records) == 120
    assert all(r.trial.state == "complete" for r in resumed)
    best: dict[str, tuple[float, float]] = {
        r.trial.plan: (r.on("search")[-1].accuracy, r.on("search")[-1].flops_ratio)
        for r in records
        if r.trial.state == "complete"
    }
    mask = non_dominated(list(best.values()), MAXIMIZE)
    assert {str(o.plan) for o in front} == {plan for plan, keep in zip(best, mask, strict=True) if keep}


def test_tables_of_an_earlier_version_are_not_written_to(tmp_path: Path) -> None:
    settings: Settings = settings_in(tmp_path / "run", budget=3, strategy="random")
    settings.run_folder.mkdir()
    constraint = UniqueConstraint("run_id", "digest")
    Trial.__table__.append_constraint(constraint)  # type: ignore[attr-defined]
    try:
        engine = create_engine(settings.storage_url)
        Table.metadata.create_all(engine)
        engine.dispose()
    finally:
        Trial.__table__.constraints.discard(constraint)  # type: ignore[attr-defined]
    with (
        pytest.raises(StorageError, match=r"created by a version whose searches can't be resumed: start a new search"),
        open_run(settings, problem_of(settings)),
    ):
        pass


def test_every_trial_is_counted_as_a_unit_of_the_budget(tmp_path: Path, strategy: list[SecondThoughts]) -> None:
    settings = settings_in(tmp_path / "run", budget=16)
    with open_run(settings, problem_of(settings)) as controller:
        drive(controller, PretendWorker())
        counts = controller.summary()
    assert sum(counts.values()) == 16
    assert counts == {state: sum(record.trial.state == state for record in records_of(settings)) for state in counts}, (
        "what reports count"
    )
