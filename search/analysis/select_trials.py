"""Which trials of a run to export: one rule in, the trials and the reason out. Reads results only, imports no torch.

Accuracy here is that of the search split, which the front was built on; the test split chooses nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.front import FrontLimits, front, within
from search.analysis.summary import point_of
from search.storage.results import TrialRecord
from spaces.plan import Plan

Records = Sequence[TrialRecord]
NO_LIMITS = FrontLimits()


class SelectionError(ValueError):
    """No trial fits the rule. The message is one line for the user."""


@dataclass(frozen=True)
class Selected:
    """A plan to export and why."""

    plan: Plan
    record: TrialRecord | None
    """None for a plan that the run holds no complete trial of: it is exported untuned."""
    why: str


def select(
    records: Records, num_blocks: int, rule: str, value: Any = None, limits: FrontLimits = NO_LIMITS
) -> list[Selected]:
    """Return the trials that a rule chooses, cheapest first.

    A rule chooses among the finished trials within the limits of the search. A trial or plan that is named is taken
    whatever it keeps.

    Args:
        records: all trials of a run.
        num_blocks: blocks of the model, which a plan given as text must have.
        rule: one of `RULES`.
        value: what stands behind the option: a number, a text; nothing for `knee` and `front`.
        limits: what a finished trial of the run must keep to count.

    Raises:
        SelectionError: no trial fits; the message names the nearest.
        PlanError: the text of `plan` is no plan.
    """
    if rule == "plan":
        return [_by_plan(records, num_blocks, value, limits)]
    if rule == "trial":
        return [_by_number(records, value, limits)]
    complete = [record for record in records if _is_complete(record)]
    if not complete:
        raise SelectionError(
            f"the run must have a complete trial to choose from, got none of {len(records)}: let the search go on, "
            "or give --plan"
        )
    kept = within(complete, point_of, limits)
    if not kept:
        nearest = max(complete, key=_best_first)
        raise SelectionError(
            f"--{rule.replace('_', '-')} chooses among finished trials of {limits}, got none of {len(complete)}: the "
            f"most accurate is {_describe(nearest)}; name one with --trial, or search on with other limits"
        )
    return RULES[rule](kept, value, complete)


def _by_number(records: Records, number: int, limits: FrontLimits) -> Selected:
    found = next((record for record in records if record.trial.number == number), None)
    if found is None:
        known = f"0 to {records[-1].trial.number}" if records else "none yet"
        raise SelectionError(f"--trial must be the number of a trial of the run, got {number}: there are {known}")
    if not _is_complete(found):
        raise SelectionError(
            f"--trial must be a complete trial, got {number}, which is {found.trial.state}: choose another, or export "
            f"its plan untuned with --plan '{found.trial.plan}'"
        )
    return _selected(found, f"trial {number} was named{_beyond(found, limits)}")


def _by_plan(records: Records, num_blocks: int, text: str, limits: FrontLimits) -> Selected:
    # The text form may begin with a brace too, as in {ffn50}.b..; it never has quotation marks.
    plan = Plan.from_json(text) if '"' in text else Plan.parse(text)
    if len(plan) != num_blocks:
        raise SelectionError(
            f"--plan must have as many blocks as the model, {num_blocks}, got {len(plan)} in '{plan}': "
            "write one character per block"
        )
    for record in records:
        if record.trial.digest == plan.digest and _is_complete(record):
            return _selected(record, f"the named plan is that of trial {record.trial.number}{_beyond(record, limits)}")
    return Selected(plan, None, "the plan was named; the run has no complete trial of it, so it is not tuned")


def _beyond(record: TrialRecord, limits: FrontLimits) -> str:
    """Return what to add to the reason for a trial that does not count in this search."""
    return "" if limits.keeps(point_of(record)) else f", which is not one of {limits}"


def _knee(kept: Records, _: Any, __: Records) -> list[Selected]:
    """The point of the front farthest above the line between its ends, both axes scaled to the front's extent."""
    members = front(kept, point_of, NO_LIMITS)
    points = np.array([[_ratio(record), _accuracy(record)] for record in members])
    extent = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1)
    best = int(np.argmax(scaled[:, 1] - scaled[:, 0]))
    return [_selected(members[best], f"the knee of a front of {len(members)}")]


def _max_flops(kept: Records, limit: float, _: Records) -> list[Selected]:
    cheap = [record for record in kept if _ratio(record) <= limit]
    if not cheap:
        nearest = min(kept, key=_cheapest_first)
        raise SelectionError(
            f"--max-flops must leave at least one complete trial, got {limit:g}: the nearest is {_describe(nearest)}"
        )
    return [_selected(max(cheap, key=_best_first), f"the best accuracy at or under {limit:g} of the dense FLOPs")]


def _min_accuracy(kept: Records, limit: float, _: Records) -> list[Selected]:
    return [_cheapest_from(kept, limit, f"--min-accuracy {limit:g}")]


def _min_retention(kept: Records, share: float, complete: Records) -> list[Selected]:
    dense = next((record for record in complete if record.plan.is_dense), None)
    if dense is None:
        raise SelectionError("--min-retention needs the dense model's trial, the run has none: use --min-accuracy")
    limit = share * _accuracy(dense)
    return [_cheapest_from(kept, limit, f"--min-retention {share:g} (accuracy {limit:.4g})")]


def _cheapest_from(records: Records, limit: float, rule: str) -> Selected:
    good = [record for record in records if _accuracy(record) >= limit]
    if not good:
        nearest = max(records, key=_best_first)
        raise SelectionError(f"{rule} must be reached by a complete trial: the nearest is {_describe(nearest)}")
    return _selected(min(good, key=_cheapest_first), f"the fewest FLOPs with {rule}")


def _front(kept: Records, _: Any, __: Records) -> list[Selected]:
    members = front(kept, point_of, NO_LIMITS)
    return [_selected(record, f"one of the {len(members)} on the front") for record in members]


RULES: dict[str, Callable[[Records, Any, Records], list[Selected]]] = {
    "knee": _knee,
    "max_flops": _max_flops,
    "min_accuracy": _min_accuracy,
    "min_retention": _min_retention,
    "front": _front,
}
"""Rules that choose among the complete trials within the limits, given these, the value of the option, and all complete
trials; `trial` and `plan` name theirs."""


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
