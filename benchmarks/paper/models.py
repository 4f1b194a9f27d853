"""The two models of the findings, loaded, and the scores of plans on their questions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch

from objectives.flops import costs
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.evaluation.evaluate import evaluate
from workers.requests import TrialRequest
from workers.session import Session
from workers.software import commit, versions
from workers.sources import DataSource, ModelSource, Split

STORE = Path(__file__).parents[1] / "data" / "paper"
"""Folder of the results."""
METRIC = "exact_match"
MIXED = "mixed"
MAX_TRAIN = 4096
"""Questions of the pretrained model's data for tuning; encoding all images takes minutes."""


@dataclass
class Subject:
    """A loaded model with its data."""

    name: str
    session: Session
    dtype: str = "float32"
    seconds: float = field(default_factory=process_time)
    """CPU seconds of this process when the subject was opened."""

    @property
    def num_blocks(self) -> int:
        """Return the number of blocks."""
        return self.session.shape.num_blocks

    def flops_ratio(self, plan: Plan) -> float:
        """Return the FLOPs of a plan relative to the dense model, for the mean workload of the search split."""
        workload = self.session.workload(TrialRequest(plan=plan))
        return float(costs(self.session.shape, plan, workload).as_dict()["flops_ratio"])

    def scores(self, plan: Plan, split: Split, questions: int) -> np.ndarray:
        """Return the score of the first questions of a split under a plan, (questions,) bool."""
        with apply_plan(self.session.loaded.model, plan, self.session.pruning_inputs):
            return self.scores_now(split, questions)

    def scores_now(self, split: Split, questions: int) -> np.ndarray:
        """Return the scores under the plan that is applied, (questions,) bool."""
        result = evaluate(self.session.loaded, self.session.split(split), METRIC, questions)
        return np.array(result.scores) > 0.5

    def images(self, split: Split, questions: int) -> np.ndarray:
        """Return the image number of the first questions of a split, (questions,)."""
        return np.array(self.session.split(split).images[:questions])

    def origin(self, **more: Any) -> dict[str, Any]:
        """Return the origin of the numbers for JSON: commit, versions, model, fingerprints, and `more`."""
        return {
            "commit": commit(),
            "versions": versions(),
            "fingerprints": self.session.fingerprints,
            "dtype": self.dtype,
            "threads": torch.get_num_threads(),
            "cpu_seconds": round(process_time() - self.seconds),
            **more,
        }


def open_subject(name: str, folder: Path | None, dtype: str = "float32") -> Subject:
    """Load the embedded model, or the pretrained one from the folder that `workers.pretrained build` wrote.

    Args:
        name: `embedded` or `smollm2`.
        folder: folder of the pretrained model; None for the embedded one.
        dtype: dtype of the weights; `MIXED`: language model in bfloat16, vision tower and mapping module in float32.

    Raises:
        ValueError: the pretrained model without a folder.
    """
    torch.set_num_threads(1)
    if name == "embedded":
        return Subject(name, Session(ModelSource(), DataSource()))
    if folder is None:
        raise ValueError("smollm2 must have --folder, the folder that `python -m workers.pretrained build --to` wrote")
    whole = "float32" if dtype == MIXED else dtype
    model = ModelSource(name=str(folder / "model"), dtype=whole, attn_implementation="eager")
    session = Session(model, DataSource(name=str(folder / "easy-vqa"), max_train=MAX_TRAIN))
    if dtype == MIXED:
        session.split("tune")  # checks in float32 that questions may share the prefix of their image
        session.loaded.model.model.language_model.bfloat16()
        session.loaded.model.lm_head.bfloat16()
        session.loaded.model.tie_weights()
    return Subject(name, session, dtype)


def save(file: str, arrays: Mapping[str, np.ndarray], origin: Mapping[str, Any]) -> None:
    """Write arrays and their origin to the store, in one compressed file."""
    STORE.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(STORE / file, **arrays, origin=np.array(json.dumps(origin)))
    print(f"wrote {STORE / file}", flush=True)


def load(file: str) -> dict[str, Any]:
    """Return the arrays of a stored file by name; `origin` is a dict."""
    with np.load(STORE / file) as stored:
        arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    arrays["origin"] = json.loads(str(arrays["origin"]))
    return arrays


def texts(plans: Iterable[Plan]) -> np.ndarray:
    """Return plans as an array of text."""
    return np.array([str(plan) for plan in plans])
