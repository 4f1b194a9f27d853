"""Which trials of a run to export: one rule in, the trials and the reason out. Reads results only, imports no torch.

Accuracy here is that of the search split, which the front was built on; the test split chooses nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.analysis.summary import pareto_front
from search.storage.results import TrialRecord
from spaces.plan import Plan


class SelectionError(ValueError):
    """No trial fits the rule. The message is one line for the user."""


@dataclass(frozen=True)
class Selected:
    """A plan to export and why."""

    plan: Plan
    record: TrialRecord | None
    """None for a plan that the run holds no complete trial of: it is exported untuned."""
    why: str


def select(records: Sequence[TrialRecord], num_blocks: int, rule: str, value: Any = None) -> list[Selected]:
    """The trials that a rule chooses, cheapest first.

    Args:
        records: all trials of a run.
        num_blocks: blocks of the model, which a plan given as text must have.
        rule: one of `RULES`.
        value: what stands behind the option: a number, a text; nothing for `knee` and `front`.

    Raises:
        SelectionError: no trial fits; the message names the nearest.
        PlanError: the text of `plan` is no plan.
    """
    if rule == "plan":
        return [_by_plan(records, num_blocks, value)]
    if rule == "trial":
        return [_by_number(records, value)]
    complete = [record for record in records if _is_complete(record)]
    if not complete:
        raise SelectionError(
            f"the run must have a complete trial to choose from, got none of {len(records)}: let the search go on, "
            "or give --plan"
        )
    return RULES[rule](complete, value)


def _by_number(records: Sequence[TrialRecord], number: int) -> Selected:
    found = next((record for record in records if record.trial.number == number), None)
    if found is None:
        known = f"0 to {records[-1].trial.number}" if records else "none yet"
        raise SelectionError(f"--trial must be the number of a trial of the run, got {number}: there are {known}")
    if not _is_complete(found):
        raise SelectionError(
            f"--trial must be a complete trial, got {number}, which is {found.trial.state}: choose another, or export "
            f"its plan untuned with --plan '{found.trial.plan}'"
        )
    return _selected(found, f"trial {number} was asked for")


def _by_plan(records: Sequence[TrialRecord], num_blocks: int, text: str) -> Selected:
    plan = Plan.from_json(text) if text.lstrip().startswith("{") else Plan.parse(text)
    if len(plan) != num_blocks:
        raise SelectionError(
            f"--plan must have as many blocks as the model, {num_blocks}, got {len(plan)} in '{plan}': "
            "write one character a block"
        )
    for record in records:
        if record.trial.digest == plan.digest and _is_complete(record):
            return _selected(record, f"the plan asked for is that of trial {record.trial.number}")
    return Selected(plan, None, "the plan was asked for; the run has no complete trial of it, so it is not tuned")


def _knee(records: Sequence[TrialRecord], _: Any) -> list[Selected]:
    """The point of the front farthest above the line between its ends, both axes scaled to the front's extent."""
    front = pareto_front(list(records))
    points = np.array([[_ratio(record), _accuracy(record)] for record in front])
    extent = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1)
    best = int(np.argmax(scaled[:, 1] - scaled[:, 0]))
    return [_selected(front[best], f"the knee of a front of {len(front)}")]


def _max_flops(records: Sequence[TrialRecord], limit: float) -> list[Selected]:
    within = [record for record in records if _ratio(record) <= limit]
    if not within:
        nearest = min(records, key=_cheapest_first)
        raise SelectionError(
            f"--max-flops must leave at least one complete trial, got {limit:g}: the nearest is {_describe(nearest)}"
        )
    return [_selected(max(within, key=_best_first), f"the best accuracy at or under {limit:g} of the dense FLOPs")]


def _min_accuracy(records: Sequence[TrialRecord], limit: float) -> list[Selected]:
    return [_cheapest_from(records, limit, f"--min-accuracy {limit:g}")]


def _min_retention(records: Sequence[TrialRecord], share: float) -> list[Selected]:
    dense = next((record for record in records if record.plan.is_dense), None)
    if dense is None:
        raise SelectionError("--min-retention needs the dense model's trial, the run has none: use --min-accuracy")
    limit = share * _accuracy(dense)
    return [_cheapest_from(records, limit, f"--min-retention {share:g} (accuracy {limit:.4g})")]


def _cheapest_from(records: Sequence[TrialRecord], limit: float, rule: str) -> Selected:
    good = [record for record in records if _accuracy(record) >= limit]
    if not good:
        nearest = max(records, key=_best_first)
        raise SelectionError(f"{rule} must be reached by a complete trial: the nearest is {_describe(nearest)}")
    return _selected(min(good, key=_cheapest_first), f"the fewest FLOPs with {rule}")


def _front(records: Sequence[TrialRecord], _: Any) -> list[Selected]:
    front = pareto_front(list(records))
    return [_selected(record, f"one of the {len(front)} on the front") for record in front]


RULES: dict[str, Callable[[Sequence[TrialRecord], Any], list[Selected]]] = {
    "knee": _knee,
    "max_flops": _max_flops,
    "min_accuracy": _min_accuracy,
    "min_retention": _min_retention,
    "front": _front,
}
"""Rules that choose among the complete trials; `trial` and `plan` name theirs."""


def _is_complete(record: TrialRecord) -> bool:
    return record.trial.state == "complete" and bool(record.on("search"))


def _accuracy(record: TrialRecord) -> float:
    return record.on("search")[-1].accuracy


def _ratio(record: TrialRecord) -> float:
    return record.on("search")[-1].flops_ratio


def _best_first(record: TrialRecord) -> tuple[float, float, int]:
    """Greatest is the most accurate; of equals the cheapest, then the earliest."""
    return _accuracy(record), -_ratio(record), -record.trial.number


def _cheapest_first(record: TrialRecord) -> tuple[float, float, int]:
    """Least is the cheapest; of equals the most accurate, then the earliest."""
    return _ratio(record), -_accuracy(record), record.trial.number


def _selected(record: TrialRecord, why: str) -> Selected:
    return Selected(record.plan, record, why)


def _describe(record: TrialRecord) -> str:
    return (
        f"trial {record.trial.number} with {_ratio(record):.4g} of the dense FLOPs and accuracy {_accuracy(record):.4g}"
    )
