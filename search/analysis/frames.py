"""Trials, rungs, front and answers of a run as DataFrames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from objectives.front import FrontLimits
from search.analysis.samples import answered_questions
from search.analysis.scores_on_test import describe_test
from search.analysis.summary import dense_of, members_of
from search.storage.results import Results, TrialRecord

if TYPE_CHECKING:
    import pandas as pd

_TESTED = ("accuracy", "interval_low", "interval_high", "seed_spread", "difference_to_dense", "difference_low",
           "difference_high")  # fmt: skip


def trials_frame(records: Sequence[TrialRecord], limits: FrontLimits) -> "pd.DataFrame":
    """Return one row per trial, by number.

    Args:
        records: all trials of a run.
        limits: the limits that a trial on the front must keep.

    Returns:
        Columns: trial, plan, digest, origin, state, reason, attempt, started, finished, on_front; of the highest rung
        on the search split: rungs, accuracy, questions, tuning_steps, flops, flops_ratio, cost_ratio (of the minimized
        cost), cost (its name), sparse_flops, depth, parameter_bytes, kv_bytes_per_token, memory_bytes, latency
        (predicted, in seconds); of the test split, NaN if the trial was not tested: test_accuracy,
        test_interval_low, test_interval_high, test_seed_spread, test_difference_to_dense, test_difference_low,
        test_difference_high.
    """
    import pandas as pd

    dense = dense_of(records)
    members = {record.trial.number for record in members_of(records, limits)}
    rows = [_row(record, dense) | {"on_front": record.trial.number in members} for record in records]
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else ["trial"])


def _row(record: TrialRecord, dense: TrialRecord | None) -> dict[str, Any]:
    trial, rungs = record.trial, record.on("search")
    last = rungs[-1] if rungs else None
    costs = last.costs if last else {}
    return {
        "trial": trial.number,
        **{name: getattr(trial, name) for name in ("plan", "digest", "origin", "state", "reason", "attempt")},
        **{name: getattr(trial, name) for name in ("started", "finished")},
        "rungs": len(rungs),
        **{name: getattr(last, name, None) for name in ("accuracy", "questions", "tuning_steps", "flops")},
        "flops_ratio": None if last is None else last.share_of_flops,
        "cost_ratio": None if last is None else last.flops_ratio,
        "cost": None if last is None else last.cost,
        **{
            name: costs.get(name)
            for name in ("sparse_flops", "depth", "parameter_bytes", "kv_bytes_per_token", "memory_bytes", "latency")
        },
        **{f"flops_ratio_{name}": ratio for name, ratio in (costs.get("routes") or {}).items()},
        **_tested(record, dense),
    }


def _tested(record: TrialRecord, dense: TrialRecord | None) -> dict[str, float | None]:
    test = describe_test(record, dense) or {}
    low, high = test.get("interval", (None, None))
    least, most = test.get("difference_interval", (None, None))
    values = (test.get("accuracy"), low, high, test.get("seed_spread"), test.get("difference_to_dense"), least, most)
    return {f"test_{name}": value for name, value in zip(_TESTED, values, strict=True)}


def rungs_frame(records: Sequence[TrialRecord]) -> "pd.DataFrame":
    """Return one row per measured rung.

    Returns:
        Columns: trial, plan, rung, split, seed, accuracy, questions, tuning_steps, flops, flops_ratio, cost_ratio,
        tuned, seconds, and accuracy_KIND per kind of question.
    """
    import pandas as pd

    columns = ("rung", "split", "seed", "accuracy", "questions", "tuning_steps", "flops")
    rows = [
        {"trial": record.trial.number, "plan": record.trial.plan}
        | {name: getattr(rung, name) for name in columns}
        | {"flops_ratio": rung.share_of_flops, "cost_ratio": rung.flops_ratio}
        | {"tuned": rung.metrics["tuned"], "seconds": sum(rung.metrics["seconds"].values())}
        | {f"accuracy_{kind}": accuracy for kind, accuracy in rung.metrics["accuracy_by_kind"].items()}
        for record in records
        for rung in record.rungs
    ]
    return (
        pd.DataFrame(rows) if rows else pd.DataFrame(columns=["trial", "plan", *columns, "flops_ratio", "cost_ratio"])
    )


def samples_frame(results: Results, dense: TrialRecord, record: TrialRecord) -> "pd.DataFrame":
    """Return one row per question that a trial answered, with the answer of the dense model.

    Args:
        results: results of the run.
        dense: trial of the dense model.
        record: the trial.

    Returns:
        Columns: the fields of `AnsweredQuestion`.

    Raises:
        StorageError: no answers of the trial or of the dense trial are stored.
    """
    import pandas as pd

    return pd.DataFrame([each.as_dict() for each in answered_questions(results, dense, record)])


def write_frame(frame: "pd.DataFrame", file: Path) -> None:
    """Write a frame as parquet if the file's name ends in `.parquet`, else as CSV.

    Raises:
        ValueError: the file can't be written.
    """
    try:
        if file.suffix == ".parquet":
            frame.to_parquet(file, index=False)
        else:
            frame.to_csv(file, index=False)
    except OSError as error:
        raise ValueError(f"a table must go to a file that can be written, got {file} ({error.strerror})") from None
