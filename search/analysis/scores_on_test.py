"""The results of a trial on the test split over its seeds of tuning: mean, confidence interval, and spread."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from objectives.intervals import bootstrap_interval, paired_interval
from search.storage.results import TrialRecord
from search.storage.tables import RungResult


def describe_test(record: TrialRecord, dense: TrialRecord | None) -> dict[str, Any] | None:
    """Return the results of a trial on the test split as JSON values, or None if it was not tested.

    `accuracy` and `difference_to_dense` are means over the seeds, with 95 % confidence intervals over questions.
    `seeds` has the accuracy of each seed, `seed_spread` their standard deviation (None for a single seed). `own` has
    the same numbers for the seed of the search only, that is, for the mapping module that is stored and exported.

    Args:
        record: the trial.
        dense: the trial of the dense plan, if there is one.
    """
    tests, others = record.tests, dense.tests if dense else {}
    if not tests:
        return None
    own, own_dense = tests.get(record.seed), others.get(record.seed)
    accuracies = [test.accuracy for test in tests.values()]
    latency = own.metrics["latency"] if own else None
    return {
        **_describe(list(tests.values()), list(others.values())),
        "latency": latency,
        "seeds": [{"seed": seed, "accuracy": test.accuracy} for seed, test in tests.items()],
        "seed_spread": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "own": {**_describe([own], [own_dense] if own_dense else []), "latency": latency} if own else None,
    }


def _describe(tests: Sequence[RungResult], dense: Sequence[RungResult]) -> dict[str, Any]:
    """Return accuracy with its interval, and the paired difference to the dense model.

    Scores are averaged over the seeds before questions are resampled, since all seeds answer the same questions.
    """
    scores = np.mean([test.scores for test in tests], axis=0)
    described = {
        "accuracy": float(np.mean([test.accuracy for test in tests])),
        "interval": bootstrap_interval(scores.tolist()),
    }
    if dense and len(dense[0].scores) == len(scores):
        reference = np.mean([test.scores for test in dense], axis=0)
        described["difference_to_dense"] = float(np.mean(scores - reference))
        described["difference_interval"] = paired_interval(scores.tolist(), reference.tolist())
    return described
