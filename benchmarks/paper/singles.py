"""The dense model, and every single block, attention and FFN left out: `python -m benchmarks.paper.singles`.

Measures the pretrained model on `test` (dense, and dense with the features of another picture) and on `search` (one
part left out, before and after brief tuning of the mapping module). Results are stored in benchmarks/data/paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.paper.subjects import METRIC, Subject, open_subject, save, texts
from spaces.plan import Op, Plan
from workers.evaluation.evaluate import evaluate
from workers.requests import Rung, TrialRequest, TuningRecipe
from workers.rungs import climb

OPS = (Op.SKIP_BLOCK, Op.SKIP_ATTN, Op.SKIP_FFN)


def measure_dense(subject: Subject, questions: int) -> None:
    """Store the dense model's scores on `test`, with its own pictures and with others."""
    session = subject.session
    test = session.split("test")
    blind = replace(test, features=test.features.roll(1, dims=0), _packs={})
    scores = [evaluate(session.loaded, split, METRIC, questions).scores for split in (test, blind)]
    samples = test.samples[:questions]
    train = session.split("train").samples
    save(
        f"dense-{subject.name}.npz",
        {
            "scores": np.packbits(np.array(scores) > 0.5, axis=1),
            "kinds": np.array([sample.kind for sample in samples]),
            "answers": np.array([sample.answers[0] for sample in samples]),
            "asked": np.array([sample.question for sample in samples]),
            "images": subject.images("test", questions),
            "train_asked": np.array([sample.question for sample in train]),
            "train_answers": np.array([sample.answers[0] for sample in train]),
        },
        subject.origin(split="test", questions=questions),
    )
    print(f"dense {np.mean(scores[0]):.4f}, with other pictures {np.mean(scores[1]):.4f}", flush=True)


def measure_singles(subject: Subject, questions: int, steps: int, recipe: TuningRecipe, tuned: Sequence[Op]) -> None:
    """Store the scores with each part left out, before tuning and, for the ops `tuned`, after it."""
    plans = [Plan.dense(subject.num_blocks)]
    plans += [plans[0].replace(block, op) for op in OPS for block in range(subject.num_blocks)]
    before, after = [], []
    for plan in plans:
        is_tuned = steps > 0 and bool(set(plan.ops) & set(tuned) or plan.is_dense)
        rungs = (Rung(questions=questions), *[Rung(questions=questions, tuning_steps=steps)] * is_tuned)
        reports = list(climb(subject.session, TrialRequest(plan=plan, tuning=recipe, rungs=rungs, threads=1)))
        before.append(np.array(reports[0].scores) > 0.5)
        after.append(np.array(reports[-1].scores) > 0.5 if is_tuned else before[-1])
        print(f"{plan} {before[-1].mean():.3f} -> {after[-1].mean():.3f} {is_tuned}", flush=True)
    save(
        f"singles-{subject.name}.npz",
        {
            "plans": texts(plans),
            "costs": np.array([subject.flops_ratio(plan) for plan in plans]),
            "before": np.packbits(before, axis=1),
            "after": np.packbits(after, axis=1),
            "tuned": np.array([bool(set(plan.ops) & set(tuned)) or plan.is_dense for plan in plans]) & (steps > 0),
            "images": subject.images("search", questions),
        },
        subject.origin(split="search", questions=questions, steps=steps, recipe=recipe.model_dump()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("dense", "singles"))
    parser.add_argument("--folder", type=Path, required=True, help="of the pretrained model")
    parser.add_argument("--questions", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=5, help="tuning steps")
    parser.add_argument("--rate", type=float, help="learning rate of the tuning")
    parser.add_argument("--tuned", default="skip_block,skip_attn,skip_ffn", help="ops that are also tuned")
    parser.add_argument("--dtype", default="float32")
    arguments = parser.parse_args()
    subject = open_subject("smollm2", arguments.folder, arguments.dtype)
    if arguments.part == "dense":
        measure_dense(subject, arguments.questions)
    else:
        recipe = TuningRecipe(learning_rate=arguments.rate, images_per_step=4)
        ops = [Op(name) for name in arguments.tuned.split(",") if name]
        measure_singles(subject, arguments.questions, arguments.steps, recipe, ops)


if __name__ == "__main__":
    main()
