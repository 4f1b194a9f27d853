"""Selects the trials of a run to export, by one rule. Reads results only, imports no torch.

Accuracy is that of the search split, from which the front was built; the test split is never used for selection.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from objectives.front import FrontLimits, front, within
from objectives.objectives import COST_NAMES
from search.analysis.summary import dense_of, point_of
from search.storage.results import TrialRecord
from spaces.plan import Plan

Records = Sequence[TrialRecord]
NO_LIMITS = FrontLimits()


class SelectionError(ValueError):
    """No trial satisfies the rule. The message is one line for the user."""


@dataclass(frozen=True)
class Selected:
    """A plan to export, and the reason."""

    plan: Plan
    record: TrialRecord | None
    """Its complete trial; None if the run has none, so that the plan is exported without tuning."""
    why: str
    """Reason for the selection, shown to the user."""


def select(
    records: Records, num_blocks: int, rule: str, value: Any = None, limits: FrontLimits = NO_LIMITS
) -> list[Selected]:
    """Return the trials that a rule selects, cheapest first.

    The rules of `RULES` select among the complete trials within the limits of the search. `trial` and `plan` select the
    given one even if it exceeds a limit.

    Args:
        records: all trials of a run.
        num_blocks: number of blocks of the model, which a plan given as text must have.
        rule: a key of `RULES`, `trial` or `plan`.
        value: value of the option: a number or a text; None for `knee` and `front`.
        limits: the limits of the search.

    Raises:
        SelectionError: no trial satisfies the rule; the message names the nearest trial.
        PlanError: the value of `plan` is not a plan.
    """
    if rule == "plan":
        return [_by_plan(records, num_blocks, value, limits)]
    if rule == "trial":
        return [_by_number(records, value, limits)]
    complete = [record for record in records if record.is_complete]
    if not complete:
        raise SelectionError(
            f"the run must have a complete trial to choose from, got none of {len(records)}: continue the search, "
            "or name a plan with --plan"
        )
    kept = within(complete, point_of, limits)
    if not kept:
        nearest = max(complete, key=_best_first)
        raise SelectionError(
            f"--{rule.replace('_', '-')} chooses among finished trials with {limits}, got none of {len(complete)}: the "
            f"most accurate is {_describe(nearest)}; name one with --trial, or search again with other limits"
        )
    return RULES[rule](kept, value, complete)


def _by_number(records: Records, number: int, limits: FrontLimits) -> Selected:
    found = next((record for record in records if record.trial.number == number), None)
    if found is None:
        known = f"0 to {records[-1].trial.number}" if records else "none yet"
        raise SelectionError(f"--trial must be the number of a trial of the run, got {number}: there are {known}")
    if not found.is_complete:
        raise SelectionError(
            f"--trial must be a complete trial, got {number}, which is {found.trial.state}: choose another, or export "
            f"its plan untuned with --plan '{found.trial.plan}'"
        )
    return _selected(found, f"trial {number} was named{_beyond(found, limits)}")


def _by_plan(records: Records, num_blocks: int, text: str, limits: FrontLimits) -> Selected:
    # The text form may also begin with a brace, as in {ffn50}.b.., but never has quotation marks.
    plan = Plan.from_json(text) if '"' in text else Plan.parse(text)
    if len(plan) != num_blocks:
        raise SelectionError(
            f"--plan must have as many blocks as the model, {num_blocks}, got {len(plan)} in '{plan}': "
            "write one character per block"
        )
    for record in records:
        if record.trial.digest == plan.digest and record.is_complete:
            return _selected(record, f"the named plan is that of trial {record.trial.number}{_beyond(record, limits)}")
    return Selected(plan, None, "the plan was named; the run has no complete trial of it, so it is not tuned")


def _beyond(record: TrialRecord, limits: FrontLimits) -> str:
    """Return the addition to the reason if a trial exceeds the limits; empty if it does not."""
    return "" if limits.keeps(point_of(record)) else f", which is not within the limits ({limits})"


def _knee(kept: Records, _: Any, __: Records) -> list[Selected]:
    """Return the trial of the front that is farthest above the line between its ends.

    Both axes are scaled to the extent of the front.
    """
    members = front(kept, point_of, NO_LIMITS)
    points = np.array([[_ratio(record), _accuracy(record)] for record in members])
    extent = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0)) / np.where(extent > 0, extent, 1)
    best = int(np.argmax(scaled[:, 1] - scaled[:, 0]))
    return [_selected(members[best], f"the knee of a front of {len(members)}")]


def _max_flops(kept: Records, limit: float, _: Records) -> list[Selected]:
    cheap = [record for record in kept if _flops(record) <= limit]
    if not cheap:
        nearest = min(kept, key=lambda record: (_flops(record), *_cheapest_first(record)))
        raise SelectionError(
            f"--max-flops must include at least one complete trial, got {limit:g}: the nearest is {_describe(nearest)}"
        )
    return [_selected(max(cheap, key=_best_first), f"the best accuracy at or below {limit:g} of the dense FLOPs")]


def _min_accuracy(kept: Records, limit: float, _: Records) -> list[Selected]:
    return [_cheapest_from(kept, limit, f"--min-accuracy {limit:g}")]


def _min_retention(kept: Records, share: float, complete: Records) -> list[Selected]:
    dense = dense_of(complete)
    if dense is None:
        raise SelectionError("--min-retention needs a trial of the dense model, the run has none: use --min-accuracy")
    limit = share * _accuracy(dense)
    return [_cheapest_from(kept, limit, f"--min-retention {share:g} (accuracy at least {limit:.4g})")]


def _cheapest_from(records: Records, limit: float, rule: str) -> Selected:
    good = [record for record in records if _accuracy(record) >= limit]
    if not good:
        nearest = max(records, key=_best_first)
        raise SelectionError(f"{rule} must be reached by a complete trial: the nearest is {_describe(nearest)}")
    return _selected(min(good, key=_cheapest_first), f"the {_least(records)} with {rule}")


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
"""Rule -> function of the complete trials within the limits, the value of the option, and all complete trials."""


def _accuracy(record: TrialRecord) -> float:
    return record.on("search")[-1].accuracy


def _ratio(record: TrialRecord) -> float:
    return record.on("search")[-1].flops_ratio


def _flops(record: TrialRecord) -> float:
    return record.on("search")[-1].share_of_flops


def _least(records: Records) -> str:
    cost = records[0].on("search")[-1].cost
    return f"lowest {cost}" if cost == COST_NAMES["latency"] else f"fewest {cost}"


def _best_first(record: TrialRecord) -> tuple[float, float, int]:
    """Return a key for `max`: highest accuracy, then lowest cost, then lowest number."""
    return _accuracy(record), -_ratio(record), -record.trial.number


def _cheapest_first(record: TrialRecord) -> tuple[float, float, int]:
    """Return a key for `min`: lowest cost, then highest accuracy, then lowest number."""
    return _ratio(record), -_accuracy(record), record.trial.number


def _selected(record: TrialRecord, why: str) -> Selected:
    return Selected(record.plan, record, why)


def _describe(record: TrialRecord) -> str:
    cost = record.on("search")[-1].cost
    ratio, accuracy = _ratio(record), _accuracy(record)
    return f"trial {record.trial.number} with {ratio:.4g} of the dense {cost} and accuracy {accuracy:.4g}"
