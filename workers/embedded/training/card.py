"""Measures the embedded model and writes its card: `python -m workers.embedded.training.card`.

All numbers come from the code that a trial of a search runs. It takes about ten minutes on one core.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import torch
from numpy.typing import NDArray

from spaces.patterns import pattern
from spaces.plan import Op, Plan
from workers.describe import describe_model
from workers.embedded import embedded_path
from workers.embedded.training.card_text import render
from workers.embedded.training.card_values import Interval, Kind, Measured, Tuned
from workers.evaluation.evaluate import evaluate
from workers.inference.packed_split import PackedSplit
from workers.reports import TrialReport
from workers.requests import Rung, TrialRequest, TuningRecipe
from workers.session import Session
from workers.sources import ModelSource, Split
from workers.trial import Worker, run_trial
from workers.tuning import Tuning

METRIC = "exact_match"
SINGLE_OPS = (Op.SKIP_BLOCK, Op.SKIP_ATTN, Op.SKIP_FFN)
PATTERNS = (
    *("dense", "interval-4", "interval-3", "interval-2", "interval-2:skip_attn", "interval-2:skip_ffn"),
    *("interval-2:parallel", "interval-1:parallel@-1", "first-9", "first-6"),
)
"""Plans in the table of tuning, in addition to two single skips per op: the most harmful, and a less harmful one."""


class Card:
    """A loaded worker that runs one trial after another."""

    def __init__(self, recipe: TuningRecipe, steps: int) -> None:
        self.recipe, self.steps, self.worker = recipe, steps, Worker()

    def measure(self, num_blocks: int) -> Measured:
        """Run all measurements and print one line per plan."""
        dense = Plan.dense(num_blocks)
        singles = {
            op: [self.tune(dense.replace(block, op), "search") for block in range(num_blocks)] for op in SINGLE_OPS
        }
        chosen = [pattern(name, num_blocks) for name in PATTERNS]
        for trials in singles.values():
            costliest_first = sorted(trials, key=lambda tuned: tuned.before.mean)
            chosen += [costliest_first[0].plan, costliest_first[num_blocks // 4].plan]
        spread = [self.tune(plan, "test") for plan in dict.fromkeys(chosen)]
        return Measured(
            kinds=self.examine(),
            singles=singles,
            spread=sorted(spread, key=lambda tuned: -tuned.before.mean),
            seconds=self.cost(),
            recipe=self.recipe,
            steps=self.steps,
            origin=self.run(dense, "search").origin,
        )

    def run(self, plan: Plan, split: Split) -> TrialReport:
        """Run one trial: evaluate on all of `split`, tune, evaluate again.

        Raises:
            RuntimeError: the trial failed.
        """
        rungs = (Rung(split=split), Rung(split=split, tuning_steps=self.steps))
        request = TrialRequest(plan=plan, tuning=self.recipe, rungs=rungs, threads=1)
        report = run_trial(self.worker, request, go_on=lambda _: True)
        if len(report.rungs) < len(rungs):
            raise RuntimeError(f"trial {plan} must end, got {report.state}: {report.reason}")
        return report

    def tune(self, plan: Plan, split: Split) -> Tuned:
        """Return the accuracies of a plan on a split before and after tuning, and print them."""
        report = self.run(plan, split)
        before, after = (np.array(rung.scores) for rung in report.rungs)
        images = self._images(split)
        print(f"{split} {plan} {before.mean():.3f} -> {after.mean():.3f}", flush=True)
        return Tuned(
            plan=plan,
            flops_ratio=report.rungs[0].costs["flops_ratio"],
            before=Interval.of(before, images),
            after=Interval.of(after, images),
            gain=Interval.of(after - before, images),
        )

    def examine(self) -> dict[str, Kind]:
        """Return the accuracy of the dense model on `test`, and that of guessing, by kind of question."""
        loaded, test, images = self.session.loaded, self._split("test"), self._images("test")
        blindfolded = replace(test, features=test.features.roll(1, dims=0), _packs={})
        seen, blind = (np.array(evaluate(loaded, one, METRIC).scores) for one in (test, blindfolded))
        kinds = np.array([sample.kind for sample in test.samples])
        answers = np.array([sample.answers[0] for sample in test.samples])

        def summary(rows: NDArray[np.bool_]) -> Kind:
            guessed = [Counter(answers[rows & (kinds == kind)].tolist()).most_common(1) for kind in set(kinds[rows])]
            majority = sum(most[0][1] for most in guessed) / rows.sum()
            return Kind(Interval.of(seen[rows], images[rows]), majority, float(blind[rows].mean()))

        names = dict.fromkeys(kinds.tolist())
        return {name: summary(kinds == name) for name in names} | {"all": summary(np.ones(len(kinds), dtype=bool))}

    def cost(self) -> dict[str, float]:
        """Return the CPU seconds of an evaluation and of a tuning step."""
        session = self.session
        search, tuning = session.split("search"), Tuning(session.tuning_schedule(self.recipe, seed=0), self.steps)
        start = process_time()
        evaluate(session.loaded, search, METRIC)
        evaluated = process_time()
        tuning.until(self.steps)
        tuned = process_time()
        session.make_dense()
        return {"evaluate": evaluated - start, "step": (tuned - evaluated) / self.steps}

    @property
    def session(self) -> Session:
        """Return the session of the worker, once a trial has run."""
        assert self.worker.session is not None, "the first trial loads the model"
        return self.worker.session

    def _split(self, name: Split) -> PackedSplit:
        split = self.session.split(name)
        assert isinstance(split, PackedSplit), "questions of the embedded model are packed"
        return split

    def _images(self, split: Split) -> NDArray[np.intp]:
        return np.array(self._split(split).images)


def main() -> None:
    """Measure the embedded model and write its document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/embedded-model.md"))
    parser.add_argument("--steps", type=int, default=100, help="tuning steps")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="of the tuning")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    card = Card(TuningRecipe(learning_rate=arguments.learning_rate), arguments.steps)
    num_blocks = describe_model(ModelSource()).num_blocks
    megabytes = (embedded_path() / "model.safetensors").stat().st_size / 1e6
    arguments.out.write_text(render(card.measure(num_blocks), num_blocks, megabytes), encoding="utf-8")


if __name__ == "__main__":
    main()
