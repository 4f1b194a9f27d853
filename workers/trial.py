"""One trial: apply the plan, climb the rungs, report each; failures come back as data."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import torch
from safetensors.torch import save_file

from objectives.flops import costs
from workers.apply_plan import apply_plan
from workers.describe import check_fit
from workers.evaluate import evaluate
from workers.latency import time_latency
from workers.origin import origin
from workers.requests import Rung, RungReport, TrialReport, TrialRequest, TrialState
from workers.session import Session
from workers.tuning import State, Tuning, copy_state
from workers.watchdog import Watchdog

log = logging.getLogger(__name__)


class Worker:
    """Runs trials one after another; model, image features and batches stay loaded between them."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._key: object = None

    def load(self, request: TrialRequest) -> Session:
        """Loads what the request names unless it is loaded already, and checks that the request fits it.

        Raises ValueError on mistakes of the user: unknown model or data set, a plan of another depth.
        """
        with _threads(request.threads):
            session = self._session(request)
            check_fit(session.shape, request)
            for rung in request.rungs:
                session.split(rung.split)
            if request.rungs[-1].tuning_steps:
                session.split("tune")
                session.lessons(request.tuning, request.seed)
        return session

    def _session(self, request: TrialRequest) -> Session:
        # Threads are part of the key: image features computed with another number differ in the last bits.
        key = (request.model, request.data, request.threads)
        if self.session is None or self._key != key:
            self.session = None  # frees the old model before the new one is loaded
            log.info("loading model %s and data %s", request.model.name, request.data.name)
            self.session, self._key = Session(request.model, request.data), key
        return self.session

    def rungs(self, request: TrialRequest) -> Iterator[RungReport]:
        """Runs a trial rung by rung. Closing the iterator early restores the model just as running to its end.

        The time limit counts the trial's own work: neither loading nor what the caller does between rungs.
        """
        start = perf_counter()
        session = self.load(request)
        with _threads(request.threads):
            yield from _climb(session, request, seconds_to_load=perf_counter() - start)


def run_trial(worker: Worker, request: TrialRequest, go_on: Callable[[RungReport], bool]) -> TrialReport:
    """Runs a trial to its end, or until `go_on` says no after a rung; `go_on` sees every rung, the last too.

    Whatever goes wrong inside the trial is the reason of a FAILED report; errors of `go_on` are the caller's.
    """
    rungs: list[RungReport] = []
    trial = worker.rungs(request)
    state, reason = TrialState.COMPLETE, None
    try:
        while len(rungs) < len(request.rungs):
            try:
                rungs.append(next(trial))
            except Exception as error:
                log.debug("trial %s failed", request.number, exc_info=True)
                state, reason = TrialState.FAILED, reason_of(error)
                break
            if not go_on(rungs[-1]) and len(rungs) < len(request.rungs):
                state, reason = TrialState.PRUNED, f"stopped after rung {rungs[-1].rung}"
                break
    finally:
        trial.close()
        if state == TrialState.FAILED:
            _free_memory()
    plan = request.parsed_plan
    return TrialReport(
        number=request.number,
        plan=str(plan),
        digest=plan.digest,
        state=state,
        reason=reason,
        rungs=tuple(rungs),
        origin=origin(request, worker.session),
    )


def reason_of(error: Exception) -> str:
    """One line that says why a trial failed; running out of memory has many faces and gets one name."""
    message = " ".join(str(error).split())
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in message
    kind = "out of memory" if memory else type(error).__name__
    return f"{kind}: {message}" if message else kind


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _climb(session: Session, request: TrialRequest, seconds_to_load: float) -> Iterator[RungReport]:
    watchdog = Watchdog(request.time_limit)
    torch.manual_seed(request.seed)
    try:
        session.make_dense()
        with watchdog:
            trial = _Trial(session, request)
        with apply_plan(session.loaded.model, request.parsed_plan):
            for number, rung in enumerate(request.rungs):
                with watchdog:
                    report = trial.run(number, rung, {"load": seconds_to_load})
                yield report
                seconds_to_load = 0.0
    finally:
        session.make_dense()


class _Trial:
    """The state of one trial between rungs: its tuning, and the mapping module as last tuned."""

    def __init__(self, session: Session, request: TrialRequest) -> None:
        self.session, self.request = session, request
        self.costs = costs(session.shape, request.parsed_plan, session.workload(request)).as_dict()
        self.tuned: State | None = None
        self.accuracy_at: dict[int, float] = {}
        """Accuracy on the tune split after so many tuning steps."""
        steps = request.rungs[-1].tuning_steps
        if steps:
            lessons = session.lessons(request.tuning, request.seed)
            if request.tuning.kl_weight:
                lessons.learn_dense(steps)
            self.tuning = Tuning(lessons, steps)

    def run(self, number: int, rung: Rung, seconds: dict[str, float]) -> RungReport:
        """Tunes, evaluates and measures one rung; leaves in the mapping module what was evaluated."""
        clock = _Clock(seconds)
        tuned, tune_accuracy = self._tune(rung.tuning_steps) if rung.tuning_steps else (False, None)
        clock.lap("tune")
        loaded, prepared = self.session.loaded, self.session.split(rung.split)
        result = evaluate(loaded, prepared, self.request.metric, rung.questions)
        clock.lap("evaluate")
        latency = time_latency(loaded, prepared) if rung.latency else None
        clock.lap("latency")
        last = number == len(self.request.rungs) - 1
        return RungReport(
            rung=number,
            split=rung.split,
            questions=len(result.scores),
            accuracy=result.accuracy,
            accuracy_by_kind=result.accuracy_by_kind,
            scores=result.scores,
            tuning_steps=rung.tuning_steps,
            tuned=tuned,
            tune_accuracy=tune_accuracy,
            costs=self.costs,
            seconds=clock.seconds,
            latency=latency,
            artifact=self._store() if tuned and last else None,
        )

    def _tune(self, steps: int) -> tuple[bool, tuple[float, float]]:
        """Tunes on to `steps` and keeps the better mapping module, by the tune split: (tuned is kept, accuracies)."""
        session = self.session
        if 0 not in self.accuracy_at:
            self.accuracy_at[0] = self._tune_accuracy()
        if self.tuned is not None:
            session.loaded.projector.load_state_dict(self.tuned)
        self.tuning.until(steps)
        self.tuned = copy_state(session.loaded)
        if steps not in self.accuracy_at:
            self.accuracy_at[steps] = self._tune_accuracy()
        before, after = self.accuracy_at[0], self.accuracy_at[steps]
        if after <= before:
            session.make_dense()
        return after > before, (before, after)

    def _tune_accuracy(self) -> float:
        session = self.session
        return evaluate(session.loaded, session.split("tune"), self.request.metric).accuracy

    def _store(self) -> str | None:
        """Writes the mapping module into the artifacts folder; the file's name, None where no folder is given."""
        if self.request.artifacts is None:
            return None
        number, digest = self.request.number, self.request.parsed_plan.digest
        name = f"trial-{number:06d}" if number is not None else f"plan-{digest[:12]}"
        folder = Path(self.request.artifacts)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: tensor.contiguous() for key, tensor in copy_state(self.session.loaded).items()}
        save_file(state, folder / f"{name}.safetensors", metadata={"plan": str(self.request.parsed_plan)})
        return f"{name}.safetensors"


class _Clock:
    """Wall-clock seconds of the steps of a rung."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self._last = dict(seconds), perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name], self._last = now - self._last, now
