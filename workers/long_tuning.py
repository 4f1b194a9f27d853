"""Long tuning of one plan: early stop on the tune split, a checkpoint per evaluation, and one test at the end.

A killed process continues from its last checkpoint and ends with the weights that it would have had.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import save

from objectives.intervals import bootstrap_interval
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.long_tuning_request import MODULE, RECORD, LongTuning, stored_tuning
from workers.models.fresh_weights import draw_weights
from workers.models.stored_mapping_module import labels
from workers.models.trainable import copy_state, put_state
from workers.origin import origin
from workers.session import Session
from workers.tuning import Tuning, TuningSchedule

CHECKPOINT = "checkpoint.pt"
"""File of the state while the tuning runs."""
Say = Callable[[str], None]


def tune_long(request: LongTuning, folder: Path, say: Say = print) -> dict[str, Any]:
    """Tune one plan and return the record that is stored in the folder; continue a tuning that was interrupted.

    Args:
        request: what is tuned.
        folder: receives the files; created.
        say: receives one line per evaluation.

    Raises:
        ValueError: the folder holds a tuning with other settings, or another process tunes there.
        NonFinite: the loss is NaN or infinite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if (done := stored_tuning(folder)) is not None:
            _check_same(done["request"], request, folder)
            say(f"finished before, after {done['steps']} steps")
            return done
        torch.set_num_threads(request.trial.threads or torch.get_num_threads())
        torch.manual_seed(request.trial.seed)
        return _LongRun(request, folder, say).run()


class _LongRun:
    """One long tuning in this process."""

    def __init__(self, request: LongTuning, folder: Path, say: Say) -> None:
        trial = request.trial
        self.request, self.trial, self.folder, self.say = request, trial, folder, say
        self.session = session = Session(trial.model, trial.data)
        if trial.plan.is_calibrated:
            session.calibrate()
        if request.from_scratch:
            draw_weights(session.loaded, trial.seed)
        elif trial.mapping_module:
            session.read_mapping_module(Path(trial.mapping_module), trial)
        schedule = TuningSchedule(session.loaded, session.split("train"), trial.tuning, trial.seed)
        self.tuning = Tuning(schedule, request.steps)
        self.best = copy_state(session.loaded.weights)
        self.curve: list[dict[str, Any]] = []
        """Per evaluation: step, accuracy on the tune split, loss of the last step, seconds so far."""

    def run(self) -> dict[str, Any]:
        """Tune to the end, test, and store."""
        self._continue()
        if not self.curve:
            self._evaluated(seconds=0.0)
        while self.tuning.step < self.request.steps and self._is_improving:
            self._chunk(min(self.tuning.step + self.request.every, self.request.steps))
        put_state(self.session.loaded.weights, self.best)
        return self._store()

    @property
    def _best_point(self) -> dict[str, Any]:
        return max(self.curve, key=lambda point: point["tune_accuracy"])  # the first of equals

    @property
    def _is_improving(self) -> bool:
        return len(self.curve) - 1 - self.curve.index(self._best_point) < self.request.stop_after

    def _chunk(self, until: int) -> None:
        """Tune until a step, evaluate, and write a checkpoint."""
        started, schedule, first = perf_counter(), self.tuning.schedule, self.tuning.step
        if self.trial.tuning.kl_weight:
            now = copy_state(self.session.loaded.weights)
            self.session.make_dense()
            schedule.learn_dense(until)
            put_state(self.session.loaded.weights, now)
        with apply_plan(self.session.loaded.model, self.trial.plan, self.session.pruning_inputs):
            self.tuning.until(until)
        schedule.forget(until)
        self._evaluated(self.curve[-1]["seconds"] + perf_counter() - started)
        left = (self.request.steps - until) * (perf_counter() - started) / (until - first)
        point, best = self.curve[-1], self._best_point
        self.say(
            f"step {until} of {self.request.steps}: tune accuracy {point['tune_accuracy']:.4f} (best "
            f"{best['tune_accuracy']:.4f} at step {best['step']:g}), loss {point['loss']:.4f}, "
            f"eta {left / 60:.0f} min {left % 60:.0f} s at most"
        )

    def _evaluated(self, seconds: float) -> None:
        """Add a point to the curve, keep the weights if they are the best, and write a checkpoint."""
        with apply_plan(self.session.loaded.model, self.trial.plan, self.session.pruning_inputs):
            accuracy = evaluate(
                self.session.loaded, self.session.split("tune"), self.session.metric(self.trial)
            ).accuracy
        step, loss = self.tuning.step, self.tuning.last_loss
        point = {"step": step, "tune_accuracy": accuracy, "loss": loss if step else None, "seconds": seconds}
        self.curve.append(point)
        if self._best_point is point:
            self.best = copy_state(self.session.loaded.weights)
        state = {
            "request": self.request.model_dump_json(), "tuning": self.tuning.state(), "best": self.best,
            "curve": self.curve,
        }  # fmt: skip
        partial = self.folder / f".{CHECKPOINT}.partial"
        torch.save(state, partial)
        partial.replace(self.folder / CHECKPOINT)

    def _continue(self) -> None:
        """Take up the checkpoint of an interrupted tuning, if there is one."""
        file = self.folder / CHECKPOINT
        if not file.is_file():
            return
        state = torch.load(file, weights_only=True, map_location=self.session.loaded.device)
        _check_same(json.loads(state["request"]), self.request, self.folder)
        self.tuning.restore(state["tuning"])
        self.best, self.curve = state["best"], state["curve"]
        self.say(f"continues at step {self.tuning.step} of {self.request.steps}")

    def _store(self) -> dict[str, Any]:
        """Test the best weights once, and write weights and record."""
        session, trial = self.session, self.trial
        with apply_plan(session.loaded.model, trial.plan, session.pruning_inputs):
            result = evaluate(session.loaded, session.split("test"), session.metric(trial))
        state = {name: tensor.contiguous() for name, tensor in copy_state(session.loaded.weights).items()}
        _write(self.folder / MODULE, save(state, metadata=labels(trial)))
        record = {
            "request": self.request.model_dump(mode="json"),
            "steps": self.tuning.step,
            "best": self._best_point,
            "curve": self.curve,
            "test": {
                "accuracy": result.accuracy,
                "interval": list(bootstrap_interval(result.scores)),
                "accuracy_by_kind": result.accuracy_by_kind,
                "questions": len(result.scores),
                "scores": list(result.scores),
            },
            "origin": origin(trial, session),
        }
        _write(self.folder / RECORD, json.dumps(record).encode())
        (self.folder / CHECKPOINT).unlink(missing_ok=True)
        return record


def _write(file: Path, content: bytes) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_bytes(content)
    partial.replace(file)


def _check_same(stored: dict[str, Any], request: LongTuning, folder: Path) -> None:
    """Raise ValueError if a tuning in a folder has other settings; threads and the place of the run may differ."""
    before, now = _identity(stored), _identity(request.model_dump(mode="json"))
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise ValueError(
            f"{folder} holds a tuning with other settings ({', '.join(changed)}): use the same, or --restart to drop it"
        )


def _identity(request: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the result depends on."""
    trial = {name: value for name, value in request["trial"].items() if name not in ("threads", "artifacts")}
    module = trial.pop("mapping_module", None)
    own = {name: value for name, value in request.items() if name != "trial"}
    return {**own, **trial, "mapping_module": Path(module).name if module else None}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which ends with the process.

    Raises:
        ValueError: another process holds it.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"one process tunes in a folder, got another one in {folder}: wait for it") from None
        yield
