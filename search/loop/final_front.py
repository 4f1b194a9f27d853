"""The test of the final front on the test split: first as the search tuned it, then tuned again with other seeds.

Tuning again takes longest. Unless `--final-plans all` is given, it leaves out plans that are no better than a cheaper
one beyond chance.

The front was decided on the search split. No result of this test reaches the strategy, the study or an export.
"""

from pathlib import Path

from objectives.front import distinct
from search.analysis.eta import DISTINCT
from search.loop.history import History
from search.loop.job import Job, Phase
from search.loop.problem import Problem
from search.settings import Settings
from search.storage.overview import scores_of
from search.storage.results import Results
from search.strategies.strategy import Observation
from workers.reports import RungReport
from workers.requests import Rung, TrialRequest


class FinalTest:
    """The tests of one search: which are missing, running or done. A test is one trial with one seed of tuning."""

    def __init__(self, settings: Settings, problem: Problem, history: History, results: Results) -> None:
        self._problem, self._history, self._results = problem, history, results
        self._own, self._steps = settings.seed, settings.rungs[-1].tuning_steps
        # Without tuning a plan is the same model with every seed.
        self._seeds = range(self._own, self._own + (settings.final_seeds if self._steps else 1))
        self._all = settings.final_plans == "all"
        self._running: set[tuple[int, int]] = set()
        self._found: tuple[int, list[Observation], set[int]] | None = None
        """Version of the history, the trials to test by that version, and the numbers of those that are tuned again; a
        cache."""

    @property
    def left(self) -> int:
        """Return the number of tests that have not ended."""
        return len(self._running) + len(self._missing())

    @property
    def ratios_left(self) -> tuple[list[float], list[float]]:
        """Return the FLOPs ratios of the tests that have not ended: with stored weights, and with tuning."""
        left = [*self._running, *((observation.number, seed) for observation, seed in self._missing())]
        stored = [self._history.record(number).flops_ratio for number, seed in left if seed == self._own]
        tuned = [self._history.record(number).flops_ratio for number, seed in left if seed != self._own]
        return stored, tuned

    @property
    def questions(self) -> int | None:
        """Return the number of questions of the test split; None where it is not known."""
        rows: int | None = self._problem.data.get("rows", {}).get("test")
        return rows

    @property
    def num_seeds(self) -> int:
        """Return the number of seeds of tuning that are tested, that of the search included."""
        return len(self._seeds)

    def next(self) -> Job | None:
        """Return the job of the next test, or None if all have started."""
        if not (missing := self._missing()):
            return None
        observation, seed = missing[0]
        self._running.add((observation.number, seed))
        return Job(observation.number, Phase.TEST, self._request(observation, seed))

    @property
    def share_tuned_again(self) -> float:
        """Return the usual fraction of the front that is tested with more than one seed."""
        return 1.0 if self._all else DISTINCT

    def _members(self) -> tuple[list[Observation], set[int]]:
        """Return the trials of the front, and the numbers of those that are tuned again.

        They are preceded by the dense one, for comparison, if it is above the floor; the most expensive comes first.
        """
        if self._found is None or self._found[0] != self._history.version:
            front, floor = self._history.front(), self._history.limits.floor
            full = [o for o in self._history.observations() if o.plan.is_dense and o.full]
            dense = [o for o in full if floor is None or (o.accuracy or 0.0) > floor]
            again = {o.number for o in (*dense, *self._distinct(front)) if self._differs(o)}
            longest_first = [*dense, *reversed(front)]  # so that parallel workers end at about the same time
            self._found = self._history.version, list({o.number: o for o in longest_first}.values()), again
        return self._found[1:]

    def _distinct(self, front: list[Observation]) -> list[Observation]:
        if self._all or len(self._seeds) == 1:
            return front
        scores = scores_of(self._results, [o.number for o in front])
        return distinct(front, lambda o: scores[o.number])

    def _missing(self) -> list[tuple[Observation, int]]:
        """Return (trial, seed) of the tests that have not started.

        Sorted by seed, since a worker keeps the tuning batches of one seed only.
        """
        members, again = self._members()
        wanted = [(o, seed) for seed in self._seeds for o in members if seed == self._own or o.number in again]
        return [
            (o, seed)
            for o, seed in wanted
            if not self._history.tested(o.number, seed) and (o.number, seed) not in self._running
        ]

    def _differs(self, observation: Observation) -> bool:
        """Return True if tuning with another seed changes the weights under this plan.

        For the dense plan it does not if tuning brought no improvement in the search: the comparison is then with the
        untouched model.
        """
        return not observation.plan.is_dense or self._history.record(observation.number).mapping_module is not None

    def _request(self, observation: Observation, seed: int) -> TrialRequest:
        """Return the request of a test.

        With the seed of the search, the trial uses the mapping module that the search stored. With another seed it is
        tuned as at the last rung, where the better of before and after tuning on the tune split is kept.
        """
        request, number = self._problem.request(observation.number, observation.plan), observation.number
        if seed != self._own:
            test = Rung(tuning_steps=self._steps, split="test")
            return request.model_copy(update={"rungs": (test,), "artifacts": None, "seed": seed})
        stored, folder = self._history.record(number).mapping_module, request.artifacts
        update = {
            "rungs": (Rung(split="test", latency=True),),
            "artifacts": None,
            "mapping_module": str(Path(folder) / stored) if stored and folder else None,
        }
        return request.model_copy(update=update)

    def measured(self, job: Job, report: RungReport) -> None:
        """Store the result of a test with its seed."""
        seed = job.request.seed
        self._results.add_rung(job.number, report, self._history.record(job.number).flops_ratio, seed)
        self._history.set_tested(job.number, seed)

    def ended(self, job: Job, reason: str | None) -> None:
        """End a test; one without a result is stored as an event and repeated at the next start."""
        seed = job.request.seed
        self._running.discard((job.number, seed))
        if not self._history.tested(job.number, seed):
            self._results.event("test failed", f"seed {seed}: {reason or 'no finite accuracy'}", job.number)
            self._history.set_tested(job.number, seed)
