"""Stores the trials of searches as one table for replays: `python -m benchmarks.paper.landscape RUN... --folder DIR`.

The table has every plan that one of the runs tried: accuracy at each rung it reached, FLOPs, margins of the right
answers and the importance of every attention and FFN, as `benchmarks.strategies --table` reads them. Missing margins
are measured. The origin is stored beside it, in a file of the same name with the ending .json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.models import METRIC, STORE, Subject, open_subject
from search.storage.find_run import open_results
from search.storage.results import TrialRecord
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.evaluation.importance import gate_importance
from workers.evaluation.margins import answer_margins


def read_runs(folders: Iterable[Path]) -> list[tuple[dict[str, Any], list[TrialRecord]]]:
    """Return settings and finished trials of each run. Raises StorageError for a folder without a run."""
    runs = []
    for folder in folders:
        results = open_results(folder, None)
        try:
            records = [record for record in results.records() if record.on("search")]
            runs.append(({"run": folder.name, "settings": results.run.settings, "origin": results.run.origin}, records))
        finally:
            results.close()
    return runs


def merge(records: Iterable[TrialRecord], num_rungs: int) -> dict[Plan, tuple[float, np.ndarray]]:
    """Return plan -> FLOPs ratio and (rungs,) accuracies; NaN at rungs that no trial of the plan reached."""
    found: dict[Plan, tuple[float, np.ndarray]] = {}
    for record in records:
        rungs = record.on("search")
        _, accuracies = found.setdefault(record.plan, (rungs[0].flops_ratio, np.full(num_rungs, np.nan)))
        for rung in rungs:
            accuracies[rung.rung] = rung.accuracy
    return found


def margins(subject: Subject, plans: Sequence[Plan], questions: int) -> np.ndarray:
    """Return the margins of the right answers to the first questions of `search`, (plans, questions), in nats."""
    loaded, split, rows = subject.session.loaded, subject.session.split("search"), []
    for plan in plans:
        with apply_plan(loaded.model, plan, subject.session.pruning_inputs):
            rows.append(answer_margins(loaded, split, METRIC, questions))
    return np.array(rows, dtype=np.float32)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="folders of searches with the same rungs")
    parser.add_argument("--folder", type=Path, required=True, help="of the pretrained model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=STORE / "smollm2.npz")
    arguments = parser.parse_args()
    runs = read_runs(arguments.runs)
    rungs = runs[0][0]["settings"]["rungs"]
    table = merge((record for _, records in runs for record in records), len(rungs))
    plans = list(table)
    subject = open_subject("smollm2", arguments.folder, arguments.dtype)
    questions = int(rungs[0]["questions"])
    importance = gate_importance(subject.session.loaded, subject.session.split("search"), questions, seed=0)
    np.savez_compressed(
        arguments.out,
        plans=np.array([str(plan) for plan in plans]),
        scores=np.array([accuracies for _, accuracies in table.values()]),
        costs=np.array([cost for cost, _ in table.values()]),
        margins=margins(subject, plans, questions),
        importance=np.array(importance),
    )
    tried = {run["run"]: [_trial(record) for record in records] for run, records in runs}
    origin = subject.origin(runs=[run for run, _ in runs], trials=tried)
    arguments.out.with_suffix(".json").write_text(json.dumps(origin, default=str, indent=1) + "\n")
    print(f"{len(plans)} plans of {sum(map(len, tried.values()))} trials: {arguments.out}")


def _trial(record: TrialRecord) -> dict[str, Any]:
    """Return number, plan, origin, state, accuracies and seconds of a trial for JSON."""
    rungs = record.on("search")
    seconds = sum(sum(rung.metrics["seconds"].values()) for rung in rungs)
    return {
        "number": record.trial.number,
        "plan": str(record.plan),
        "origin": record.trial.origin,
        "state": record.trial.state,
        "accuracies": [rung.accuracy for rung in rungs],
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
