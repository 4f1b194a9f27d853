"""Finding 2, training with the skips active: `python -m benchmarks.paper.trained embedded --plans FILE`.

The mapping module is trained from random weights under each plan, with the same data and steps for all; everything else
is frozen. Accuracy on `search` is recorded along the way and on `test` at the end. FILE holds one plan per line, as
`NAME PLAN`; finished runs are stored one by one and not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.paper.models import STORE, Subject, open_subject
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.requests import TuningRecipe
from workers.tuning import TuningSchedule


@dataclass(frozen=True, kw_only=True)
class Course:
    """Steps, rates and batches of training a mapping module from scratch."""

    steps: int
    peak_rate: float = 1e-3
    images: int = 6
    questions: int = 8
    warm_up: int = 20
    """Steps of linear warm-up."""
    decay: float = 0.4
    """Share of the steps, at the end, over which the rate falls linearly to zero."""

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        rise, fall = (step + 1) / self.warm_up, (self.steps - step) / (self.decay * self.steps)
        return self.peak_rate * min(1.0, rise, fall)


def train(subject: Subject, plan: Plan, course: Course, seed: int, checks: int, questions: int) -> dict[str, Any]:
    """Train the mapping module from random weights under a plan, and restore it.

    Args:
        subject: the model and its data.
        plan: plan that is active during training and evaluation.
        course: steps, learning rate and batch size.
        seed: seed of the weights and of the order of the data.
        checks: number of evaluations on `search`, evenly spaced.
        questions: questions per evaluation, and of `test` at the end.

    Returns:
        `curve`, pairs of step and accuracy on `search`; `test`, scores as a text of 0 and 1; `cpu_seconds`.
    """
    session, started = subject.session, process_time()
    weights = list(session.loaded.weights.values())
    exact = [weight.detach().float().clone() for weight in weights]
    _draw(session.loaded, exact, seed)
    recipe = TuningRecipe(images_per_step=course.images, questions_per_image=course.questions)
    batches = TuningSchedule(session.loaded, session.split("train"), recipe, seed)
    optimizer = torch.optim.AdamW(exact, betas=(0.9, 0.98), weight_decay=0.01)
    curve = []
    try:
        with apply_plan(session.loaded.model, plan, session.pruning_inputs):
            for step in range(course.steps):
                optimizer.param_groups[0]["lr"] = course.rate(step)
                _put(weights, exact)
                loss = F.cross_entropy(batches.logits(step), batches.batch(step).targets)
                gradients = torch.autograd.grad(loss, weights)
                for value, gradient in zip(exact, gradients, strict=True):
                    value.grad = gradient.float()
                nn.utils.clip_grad_norm_(exact, 1.0)
                optimizer.step()
                if (step + 1) % math.ceil(course.steps / checks) == 0 or step + 1 == course.steps:
                    _put(weights, exact)
                    curve.append((step + 1, float(subject.scores_now("search", questions).mean())))
            test = subject.scores_now("test", questions)
    finally:
        session.make_dense()
    said = "".join("1" if right else "0" for right in test)
    return {"curve": curve, "test": said, "cpu_seconds": round(process_time() - started)}


@torch.no_grad()
def _draw(loaded: Any, exact: list[torch.Tensor], seed: int) -> None:
    """Draw the weights of a linear mapping module; its outputs have the scale of token embeddings."""
    generator = torch.Generator().manual_seed(seed)
    scale = float(loaded.model.get_input_embeddings().weight.float().std())
    matrices = [weight for weight in exact if weight.ndim > 1]
    for weight in exact:
        if weight.ndim == 1:
            weight.zero_()
        else:
            gain = scale if weight is matrices[-1] else 1.0
            weight.normal_(0, gain / math.sqrt(weight.shape[1]), generator=generator)


@torch.no_grad()
def _put(weights: list[nn.Parameter], exact: list[torch.Tensor]) -> None:
    for weight, value in zip(weights, exact, strict=True):
        weight.copy_(value)


def read_plans(file: Path) -> Iterator[tuple[str, Plan]]:
    """Yield the names and plans of a file."""
    for line in file.read_text().splitlines():
        name, plan = line.split()
        yield name, Plan.parse(plan)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=("embedded", "smollm2"))
    parser.add_argument("--plans", type=Path, required=True)
    parser.add_argument("--folder", type=Path, help="of the pretrained model")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--checks", type=int, default=8)
    parser.add_argument("--questions", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    subject = open_subject(arguments.subject, arguments.folder, arguments.dtype)
    course = Course(steps=arguments.steps, peak_rate=arguments.rate)
    file = STORE / f"trained-{subject.name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["plan"], row["seed"], row["course"]["steps"]) for row in stored(subject.name)}
    for seed in range(arguments.seeds):
        for name, plan in read_plans(arguments.plans):
            if (str(plan), seed, course.steps) in done:
                continue
            result = train(subject, plan, course, seed, arguments.checks, arguments.questions)
            row = {"name": name, "plan": str(plan), "cost": subject.flops_ratio(plan), "seed": seed}
            row |= {"course": vars(course), **result, "origin": subject.origin()}
            with file.open("a") as lines:
                lines.write(json.dumps(row) + "\n")
            print(f"{name} seed {seed} {plan} {result['curve']} {result['cpu_seconds']} s", flush=True)


def stored(name: str) -> list[dict[str, Any]]:
    """Return the stored runs of a subject."""
    file = STORE / f"trained-{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    main()
