"""Runs the rungs of one trial under its plan: tunes, evaluates, measures and reports each."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors.torch import save

from objectives.latency import LatencyError
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import Evaluation, evaluate
from workers.evaluation.floor import measure_floor
from workers.evaluation.importance import gate_importance
from workers.evaluation.latency import time_against_dense
from workers.evaluation.margins import answer_margins
from workers.export.layer_facts import Facts
from workers.export.route_costs import Deployment, route_ratios
from workers.export.stock_layers import facts_of
from workers.inference.check_finite import NonFinite
from workers.inference.prepare import Prepared
from workers.models.stored_mapping_module import labels
from workers.models.trainable import State, copy_state, put_state
from workers.reports import Importance, QuestionRecord, RungReport
from workers.requests import Rung, TrialRequest
from workers.session import Session
from workers.sources import Split
from workers.tuning import Tuning
from workers.watchdog import Watchdog

log = logging.getLogger(__name__)
_FACTS: WeakKeyDictionary[Session, Facts] = WeakKeyDictionary()


def climb(session: Session, request: TrialRequest, seconds_to_load: float = 0.0) -> Iterator[RungReport]:
    """Yield the report of each rung, and restore the model and its mapping module at the end, also after errors.

    Args:
        session: the loaded model and data.
        request: the trial.
        seconds_to_load: seconds spent on loading, for the first report.

    Raises:
        TrialTimeout: the time limit of the request is used up.
        NonFinite: the model returns NaN or infinity.
    """
    watchdog = Watchdog(request.time_limit)
    torch.manual_seed(request.seed)
    try:
        session.make_dense()
        if request.mapping_module:
            session.read_mapping_module(Path(request.mapping_module), request)
        with watchdog:
            trial = RunningTrial(session, request)
        with apply_plan(session.loaded.model, request.plan, session.pruning_inputs):
            for number, rung in list(enumerate(request.rungs))[request.first_rung :]:
                with watchdog:
                    report = trial.run(number, rung, {"load": seconds_to_load})
                yield report
                seconds_to_load = 0.0
    finally:
        session.make_dense()


class RunningTrial:
    """The state of one trial between rungs: its tuning, and the mapping module as last tuned."""

    def __init__(self, session: Session, request: TrialRequest) -> None:
        self.session, self.request = session, request
        self.metric = session.metric(request)
        self.costs = _costs(session, request)
        self.tuned: State | None = None
        self.accuracy_at: dict[int, float] = {}
        """Number of tuning steps -> accuracy on the tune split."""
        start = perf_counter()
        self._latency = self._time() if any(rung.latency for rung in request.rungs[request.first_rung :]) else None
        self._seconds_timed = perf_counter() - start
        steps = request.rungs[-1].tuning_steps
        if steps:
            schedule = session.tuning_schedule(request.tuning, request.seed)
            if request.tuning.kl_weight:
                schedule.learn_dense(steps)
            self.tuning = Tuning(schedule, steps)

    def run(self, number: int, rung: Rung, seconds: dict[str, float]) -> RungReport:
        """Tune, evaluate and measure one rung and return its report; the evaluated weights stay in the model.

        Args:
            number: index of the rung in the request.
            rung: the rung.
            seconds: seconds already spent on it, by step.
        """
        clock = _Clock(seconds)
        if rung.latency:
            clock.seconds["latency"] = self._seconds_timed
        tuned, tune_accuracy = self._tune(rung.tuning_steps) if rung.tuning_steps else (False, None)
        clock.lap("tune")
        loaded, prepared = self.session.loaded, self.session.split(rung.split)
        fit = prepared.budget.fit
        result = fit(lambda: evaluate(loaded, prepared, self.metric, rung.questions))
        clock.lap("evaluate")
        margins = fit(lambda: self._margins(prepared, len(result.scores))) if rung.margins else None
        clock.lap("margins")
        importance = self._importance(rung, len(result.scores))
        clock.lap("importance")
        floor = measure_floor(loaded, prepared, self.metric) if rung.floor else None
        clock.lap("floor")
        last = number == len(self.request.rungs) - 1
        return self.report(
            number,
            rung,
            result,
            clock.seconds,
            tuned=tuned,
            tune_accuracy=tune_accuracy,
            margins=margins,
            importance=importance,
            floor=floor,
            latency=self._latency if rung.latency else None,
            artifact=self._store() if tuned and last else None,
        )

    def report(
        self, number: int, rung: Rung, result: Evaluation, seconds: dict[str, float], **measured: Any
    ) -> RungReport:
        """Return the report of a rung.

        Args:
            number: index of the rung in the request.
            rung: the rung.
            result: answers and scores.
            seconds: seconds spent on the rung, by step.
            measured: further fields of the report; by default, nothing was tuned.
        """
        return RungReport(
            rung=number,
            split=rung.split,
            questions=len(result.scores),
            accuracy=result.accuracy,
            accuracy_by_kind=result.accuracy_by_kind,
            scores=result.scores,
            answers=result.answers,
            asked=self._questions(rung.split, len(result.scores)) if self.request.plan.is_dense else None,
            tuning_steps=rung.tuning_steps,
            costs=self.costs,
            seconds=seconds,
            **{"tuned": False, "tune_accuracy": None, **measured},
        )

    def _time(self) -> dict[str, float] | None:
        """Return the latency of the plan where it will be deployed; None if it can't be measured, which fails no trial.

        No plan is applied yet.
        """
        session, request = self.session, self.request
        plan = Deployment(request.deploy, _facts(session)).deployed(request.plan)
        try:
            return time_against_dense(session, plan, session.workload(request))
        except (LatencyError, MemoryError, torch.OutOfMemoryError) as error:
            log.warning("the latency is left unknown: %s", error)
            return None

    def _questions(self, split: Split, questions: int) -> tuple[QuestionRecord, ...]:
        """Return the first questions of a split, without their images."""
        samples = self.session.split(split).samples[:questions]
        return tuple(
            QuestionRecord(
                id=f"{split}-{index}",
                image=sample.image_id,
                kind=sample.kind,
                question=sample.question,
                accepted=sample.answers,
            )
            for index, sample in enumerate(samples)
        )

    def _margins(self, prepared: Prepared, questions: int) -> tuple[float, ...] | None:
        return answer_margins(self.session.loaded, prepared, self.metric, questions)

    def _importance(self, rung: Rung, questions: int) -> Importance | None:
        """Return the importance of the sub-layers; None if not requested or not computable, which fails no trial."""
        if not rung.importance:
            return None
        try:
            prepared = self.session.split(rung.split)
            return gate_importance(self.session.loaded, prepared, questions, self.request.seed)
        except (NonFinite, MemoryError, torch.OutOfMemoryError) as error:
            log.warning("the importance of attention and FFNs is left unknown: %s", error)
            return None

    def _tune(self, steps: int) -> tuple[bool, tuple[float, float]]:
        """Tune up to `steps` steps in total, and keep the mapping module that is better on the tune split.

        Returns:
            True if the tuned one is kept, and the accuracies before and after tuning.
        """
        session = self.session
        if 0 not in self.accuracy_at:
            self.accuracy_at[0] = self._tune_accuracy()
        if self.tuned is not None:
            put_state(session.loaded.weights, self.tuned)
        self.tuning.until(steps)
        self.tuned = copy_state(session.loaded.weights)
        if steps not in self.accuracy_at:
            self.accuracy_at[steps] = self._tune_accuracy()
        before, after = self.accuracy_at[0], self.accuracy_at[steps]
        if after <= before:
            session.make_dense()
        return after > before, (before, after)

    def _tune_accuracy(self) -> float:
        session = self.session
        prepared = session.split("tune")
        return prepared.budget.fit(lambda: evaluate(session.loaded, prepared, self.metric).accuracy)

    def _store(self) -> str | None:
        """Write the mapping module to the artifacts folder and return the file name; None without a folder."""
        if self.request.artifacts is None:
            return None
        number, digest = self.request.number, self.request.plan.digest
        name = f"trial-{number:06d}" if number is not None else f"plan-{digest[:12]}"
        folder = Path(self.request.artifacts)
        folder.mkdir(parents=True, exist_ok=True)
        state = {key: tensor.contiguous() for key, tensor in copy_state(self.session.loaded.weights).items()}
        file, partial = folder / f"{name}.safetensors", folder / f".{name}.partial"
        partial.write_bytes(save(state, metadata=labels(self.request)))
        partial.replace(file)
        return file.name


def _facts(session: Session) -> Facts:
    """Return the properties of the model that decide by which routes a plan can be exported, found once per session."""
    if session not in _FACTS:
        _FACTS[session] = facts_of(session.loaded.model)
    return _FACTS[session]


def _costs(session: Session, request: TrialRequest) -> dict[str, Any]:
    """Return the costs of the plan where it will be deployed, and its FLOPs ratios by the other routes."""
    facts, shape, plan = _facts(session), session.shape, request.plan
    workload = session.workload(request)
    spent = Deployment(request.deploy, facts).costs(shape, plan, workload)
    return {**spent.as_dict(), "routes": route_ratios(shape, plan, workload, facts)}


class _Clock:
    """Wall-clock seconds of the steps of a rung."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self._last = dict(seconds), perf_counter()

    def lap(self, name: str) -> None:
        now = perf_counter()
        self.seconds[name], self._last = now - self._last, now
