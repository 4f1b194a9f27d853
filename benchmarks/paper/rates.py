"""Compares learning rates of brief tuning on the pretrained model: `python -m benchmarks.paper.rates --folder DIR`.

Tunes the mapping module of the dense model with every rate under every plan, and stores the accuracy on `tune` before
and after. `search` and `test` are not used.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time

from benchmarks.paper.models import MIXED, STORE, Subject, open_subject
from spaces.patterns import pattern
from workers.apply_plan import apply_plan
from workers.requests import TuningRecipe
from workers.tuning import Tuning, TuningSchedule

PLANS = ("dense", "interval-8@0")
RATES = (2e-3, 0.192 / 576)


def measure(subject: Subject, name: str, rate: float, steps: int, questions: int) -> dict[str, object]:
    """Return the accuracy on `tune` before and after tuning, and restore the mapping module.

    Args:
        subject: the model and its data.
        name: name of a plan in `spaces.patterns`.
        rate: learning rate.
        steps: number of tuning steps.
        questions: number of questions of `tune`.
    """
    session, started = subject.session, process_time()
    recipe = TuningRecipe(learning_rate=rate, images_per_step=4)
    plan = pattern(name, subject.num_blocks)
    with apply_plan(session.loaded.model, plan, session.pruning_inputs):
        before = subject.scores_now("tune", questions).mean()
        Tuning(TuningSchedule(session.loaded, session.split("train"), recipe, seed=0), steps).until(steps)
        after = subject.scores_now("tune", questions).mean()
    session.make_dense()
    return {
        "pattern": name,
        "rate": rate,
        "steps": steps,
        "before": float(before),
        "after": float(after),
        "cpu_seconds": round(process_time() - started),
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the pretrained model")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--dtype", default=MIXED)
    arguments = parser.parse_args()
    subject, rows = open_subject("smollm2", arguments.folder, arguments.dtype), []
    for name in PLANS:
        for rate in RATES:
            rows.append(measure(subject, name, rate, arguments.steps, arguments.questions))
            print(rows[-1], flush=True)
    origin = subject.origin(split="tune", questions=arguments.questions)
    STORE.mkdir(parents=True, exist_ok=True)
    (STORE / "rates-smollm2.json").write_text(json.dumps({"rows": rows, "origin": origin}, indent=1) + "\n")


if __name__ == "__main__":
    main()
