"""Describes a routed run as JSON values: the static and the adaptive front, savings with intervals, and the origin."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from objectives.intervals import bootstrap_interval
from objectives.routing import PRICES, Policies, join, volume
from search.routing.decisions import LEVEL, cheapest, trials_of
from search.routing.route import Routed
from workers.software import commit, versions

SCHEMA_VERSION = 1
"""Version of the stored result; incremented if a field is removed or changes its meaning."""
LEVELS = (0.99, 0.97, 0.95, 0.9)
"""Shares of the dense accuracy at which fronts are compared; `LEVEL` is one of them."""


def summary_level(result: dict[str, Any]) -> dict[str, Any] | None:
    """Return the comparison of a result at `LEVEL`; None if no plan of the front is as accurate.

    Args:
        result: the result, as `describe` returns it.
    """
    return next((each for each in result["levels"] if each["share_of_dense"] == LEVEL), None)


def describe(routed: Routed, run: str, threads: int | None = None) -> dict[str, Any]:
    """Return the result of a router as JSON values.

    Args:
        routed: the router with what was measured.
        run: name of the run.
        threads: CPU threads of the worker; None if not set.
    """
    candidates = routed.candidates
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "seed": routed.seed,
        "questions": {name: len(split.scores) for name, split in routed.splits.items()},
        "floor": candidates.floor,
        "dense": {
            "trial": candidates.dense.number,
            "search": float(np.mean(candidates.dense.search)),
            "test": float(np.mean(routed.dense_test)),
            "flops": routed.splits["test"].dense_flops,
        },
        "plans": [
            {"trial": plan.number, "plan": str(plan.request.plan), "chosen": index in routed.chosen}
            for index, plan in enumerate(candidates.plans)
        ],
        "router": _router(routed),
        "dial": _dial(routed),
        "static": [_point(routed, index) for index in routed.static("search").front()],
        "adaptive": [_point(routed, index) for index in routed.adaptive("search").front()],
        "hypervolume": _volumes(routed),
        "levels": [each for level in LEVELS if (each := _level(routed, level))],
        "origin": {"versions": versions(), "commit": commit(), "threads": threads},
    }


def _router(routed: Routed) -> dict[str, Any] | None:
    learned = routed.learned
    if learned is None:
        return None
    return {
        "used": routed.is_used,
        "gain_over_mixing": routed.knowledge,
        "inputs": learned.inputs,
        "hidden": learned.hidden,
        "weight_decay": learned.weight_decay,
        "flops": learned.flops,
        "flops_ratio": learned.flops / routed.splits["test"].dense_flops,
        "trials": [routed.candidates.plans[index].number for index in routed.chosen],
        "ratios": routed.ratios.tolist(),
    }


def _point(routed: Routed, index: int) -> dict[str, Any]:
    """Return one policy of the adaptive front: a plan for all questions, or the router at a price."""
    plans = routed.candidates.plans
    what = {"trial": plans[index].number} if index < len(plans) else {"price": PRICES[index - len(plans)]}
    return what | {split: _measured(routed.adaptive(split), index) for split in ("search", "test")}


def _dial(routed: Routed) -> list[dict[str, Any]]:
    """Return what the plans of the router alone can do, cheapest first, as measured on the search split.

    A point is a price, or the index of one plan for all questions.
    """
    if not routed.is_used:
        return []
    every = join(routed.static("search").take(routed.chosen), routed.routed("search"))
    points, number = every.points, len(routed.chosen)
    return [
        {"accuracy": float(points[index, 0]), "flops_ratio": float(points[index, 1])}
        | ({"plan": index} if index < number else {"price": PRICES[index - number]})
        for index in every.front()
    ]


def _measured(policies: Policies, index: int) -> dict[str, Any]:
    scores, costs = policies.scores[index], policies.costs[index]
    return {
        "accuracy": float(scores.mean()),
        "interval": bootstrap_interval(scores.tolist()),
        "flops_ratio": float(costs.mean()),
    }


def _policies(routed: Routed) -> dict[str, Callable[[str], Policies]]:
    """Return name of the front -> function of the split that gives its policies."""
    found: dict[str, Callable[[str], Policies]] = {
        "static": routed.static, "adaptive": routed.adaptive, "per_kind": routed.per_kind,
    }  # fmt: skip
    if routed.again is None:
        return found
    return found | {"cascade": routed.cascade, "routed_cascade": routed.routed_cascade}


def _fronts(routed: Routed) -> dict[str, dict[str, Policies]]:
    """Return name of the front -> split -> its policies, chosen on the search split."""
    found = {}
    for name, of in _policies(routed).items():
        members = of("search").front()
        found[name] = {split: of(split).take(members) for split in ("search", "test")}
    return found


def _volumes(routed: Routed) -> dict[str, Any]:
    """Return the hypervolume of each front on the test split, and the differences to the static one with intervals."""
    floor, fronts = routed.candidates.floor, {name: each["test"] for name, each in _fronts(routed).items()}
    resampled = {
        name: np.array([volume(points, floor) for points in each.resampled_points()]) for name, each in fronts.items()
    }
    found: dict[str, Any] = {name: volume(each.points, floor) for name, each in fronts.items()}
    for name in list(fronts)[1:]:
        low, high = np.quantile(resampled[name] - resampled["static"], [0.025, 0.975])
        found[f"{name}_gain"] = found[name] - found["static"]
        found[f"{name}_gain_interval"] = (float(low), float(high))
    return found


def _level(routed: Routed, level: float) -> dict[str, Any] | None:
    """Return the cheapest policy of each front that keeps a share of the dense accuracy on the search split."""
    needed = level * float(np.mean(routed.candidates.dense.search))
    every = _policies(routed)
    chosen = {name: cheapest(of("search"), needed) for name, of in every.items()}
    if chosen["static"] is None:
        return None
    found: dict[str, Any] = {"share_of_dense": level}
    static = routed.static("test").take([chosen["static"]])
    for name, index in chosen.items():
        assert index is not None, "every front holds the static one"
        policies = every[name]("test")
        found[name] = _measured(policies, index) | _compared(policies.take([index]), static)
    found["adaptive"]["plans"] = _plans_by_kind(routed, chosen["adaptive"])
    found["per_kind"]["plans"] = _plans_of_kinds(routed, chosen["per_kind"])
    return found


def _compared(policy: Policies, static: Policies) -> dict[str, Any]:
    """Return accuracy difference and share of FLOPs saved, with paired intervals."""
    both = np.concatenate([policy.resampled_points(), static.resampled_points()], axis=1)
    saved = 1 - both[:, 0, 1] / both[:, 1, 1]
    low, high = np.quantile(saved, [0.025, 0.975])
    difference = (policy.scores[0] - static.scores[0]).tolist()
    return {
        "difference": float(np.mean(difference)),
        "difference_interval": bootstrap_interval(difference),
        "saved": 1 - float(policy.costs.mean() / static.costs.mean()),
        "saved_interval": (float(low), float(high)),
    }


def _plans_by_kind(routed: Routed, index: int | None) -> dict[str, dict[int, float]]:
    """Return kind -> trial -> share of the test questions of the kind that a policy of the adaptive front gives it."""
    assert index is not None, "a level has a policy"
    kinds, numbers = routed.splits["test"].questions.kinds, trials_of(routed, index, "test")
    return {kind: _shares(numbers, [each == kind for each in kinds]) for kind in sorted(set(kinds))}


def _shares(numbers: Sequence[int], wanted: Sequence[bool]) -> dict[int, float]:
    counts = Counter(number for number, keep in zip(numbers, wanted, strict=True) if keep)
    return {number: count / counts.total() for number, count in counts.most_common()}


def _plans_of_kinds(routed: Routed, index: int | None) -> dict[str, int]:
    """Return kind -> trial of a policy of the front per kind."""
    plans = routed.candidates.plans
    assert index is not None, "a level has a policy"
    if index < len(plans):
        return dict.fromkeys(routed.by_kind[0], plans[index].number)
    return {kind: plans[plan].number for kind, plan in routed.by_kind[index - len(plans)].items()}
