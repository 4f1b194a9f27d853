"""Single skips, and plans made of them, against hand-made patterns: `python -m benchmarks.paper.one_shot --folder DIR`.

Nothing is trained. Every attention, FFN and block of the pretrained model is skipped alone, on the first questions of
`search`. Then 1, 2, ... sub-layers are skipped together, in the order of the mean margin that each loses alone
(additive costs), and hand-made patterns are measured on the same questions. The results are stored as a table for
replays (`benchmarks.strategies --table`). Finally each pattern, and the best of the former plans with at most its
FLOPs, are measured on `test`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.paper.models import METRIC, MIXED, STORE, Subject, open_subject, save, texts
from spaces.patterns import pattern
from spaces.plan import Op, Plan
from workers.apply_plan import apply_plan
from workers.evaluation.margins import answer_margins

SINGLE_OPS = (Op.SKIP_ATTN, Op.SKIP_FFN, Op.SKIP_BLOCK)
COMPARED = ("interval-8@0", "interval-6@0", "interval-4@0", "interval-3@0", "interval-2@0", "interval-2@15")
PATTERNS = (
    *COMPARED,
    *(f"interval-{interval}:{op}@0" for op in ("skip_attn", "skip_ffn", "parallel") for interval in (2, 4)),
    *("interval-4@15", "interval-1:parallel@-1", "first-28", "first-26", "first-22", "first-15"),
    *("interval-1:skip_block:visual@-1", "interval-2:skip_block:visual@0", "interval-2:skip_block:generated@0"),
)
MOST_SKIPPED = 24
"""Largest number of sub-layers skipped together."""


@dataclass
class Measurements:
    """Results on the first questions of `search`, one row per plan in the order of measurement."""

    subject: Subject
    questions: int
    scores: dict[Plan, np.ndarray] = field(default_factory=dict)
    margins: dict[Plan, np.ndarray] = field(default_factory=dict)

    def measure(self, plans: Iterable[Plan]) -> None:
        """Evaluate the plans that have no row yet."""
        session = self.subject.session
        for plan in plans:
            if plan in self.scores:
                continue
            with apply_plan(session.loaded.model, plan, session.pruning_inputs):
                self.scores[plan] = self.subject.scores_now("search", self.questions)
                own = answer_margins(session.loaded, session.split("search"), METRIC, self.questions)
            self.margins[plan] = np.array(own, dtype=np.float32)
            cost, accuracy = self.subject.flops_ratio(plan), self.scores[plan].mean()
            print(f"{plan} {cost:.3f} {accuracy:.3f} {self.margins[plan].mean():.2f}", flush=True)

    def store(self, file: Path) -> None:
        """Write the table and, beside it, its origin."""
        plans = list(self.scores)
        np.savez_compressed(
            file,
            plans=texts(plans),
            scores=np.array([self.scores[plan].mean() for plan in plans]),
            costs=np.array([self.subject.flops_ratio(plan) for plan in plans]),
            margins=np.array([self.margins[plan] for plan in plans]),
        )
        origin = self.subject.origin(split="search", questions=self.questions)
        file.with_suffix(".json").write_text(json.dumps(origin, indent=1) + "\n")


def singles(num_blocks: int) -> Iterator[Plan]:
    """Yield the dense plan and the plans that skip one block, attention or FFN."""
    dense = Plan.dense(num_blocks)
    yield dense
    yield from (dense.replace(block, op) for op in SINGLE_OPS for block in range(num_blocks))


def additive(found: Measurements, num_blocks: int) -> Iterator[Plan]:
    """Yield plans that skip 1, 2, ... sub-layers, in the order of the mean margin that each loses alone.

    Args:
        found: results of `singles`.
        num_blocks: blocks of the model.
    """
    dense = Plan.dense(num_blocks)
    halves = [(block, op) for op in (Op.SKIP_ATTN, Op.SKIP_FFN) for block in range(num_blocks)]
    order = sorted(halves, key=lambda half: -found.margins[dense.replace(*half)].mean())
    left_out: set[tuple[int, Op]] = set()
    for half in order[:MOST_SKIPPED]:
        left_out.add(half)
        yield Plan.of(_op(block, left_out) for block in range(num_blocks))


def _op(block: int, left_out: set[tuple[int, Op]]) -> Op:
    ops = [op for place, op in left_out if place == block]
    return Op.SKIP_BLOCK if len(ops) == 2 else ops[0] if ops else Op.KEEP


def compare(subject: Subject, found: Measurements, candidates: Sequence[Plan], questions: int) -> None:
    """Store the scores on `test` of the compared patterns and, for each, of the best candidate with at most its FLOPs.

    Args:
        subject: the model and its data.
        found: results on `search`, which choose the candidates.
        candidates: searched plans.
        questions: number of questions of `test`.
    """
    names, plans = ["dense"], [Plan.dense(subject.num_blocks)]
    for name in COMPARED:
        hand_made = pattern(name, subject.num_blocks)
        most = subject.flops_ratio(hand_made)
        fits = [plan for plan in candidates if subject.flops_ratio(plan) <= most]
        best = max(fits, key=lambda plan: (found.scores[plan].mean(), found.margins[plan].mean()), default=None)
        names += [name] if best is None else [name, f"additive for {name}"]
        plans += [hand_made] if best is None else [hand_made, best]
    scores = []
    for name, plan in zip(names, plans, strict=True):
        scores.append(subject.scores(plan, "test", questions))
        print(f"test {name} {plan} {subject.flops_ratio(plan):.3f} {scores[-1].mean():.3f}", flush=True)
    save(
        f"untrained-{subject.name}.npz",
        {
            "names": np.array(names),
            "plans": texts(plans),
            "costs": np.array([subject.flops_ratio(plan) for plan in plans]),
            "scores": np.packbits(np.array(scores), axis=1),
            "images": subject.images("test", questions),
        },
        subject.origin(split="test", questions=questions),
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the pretrained model")
    parser.add_argument("--questions", type=int, default=64, help="of `search`, per plan")
    parser.add_argument("--test-questions", type=int, default=512)
    parser.add_argument("--dtype", default=MIXED)
    arguments = parser.parse_args()
    subject = open_subject("smollm2", arguments.folder, arguments.dtype)
    found, file = Measurements(subject, arguments.questions), STORE / "smollm2.npz"
    found.measure(singles(subject.num_blocks))
    found.store(file)
    candidates = list(additive(found, subject.num_blocks))
    found.measure(candidates)
    found.measure(pattern(name, subject.num_blocks) for name in PATTERNS)
    found.store(file)
    compare(subject, found, candidates, arguments.test_questions)


if __name__ == "__main__":
    main()
