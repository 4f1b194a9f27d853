"""Compares the results with the goals of the issue tracker."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.strategies.cells import OURS, PICTURED
from benchmarks.strategies.compute import WITHIN

TOLERANCE = 1e-9
"""Difference up to which medians are equal."""
IN_TRIALS = 70
"""Number of trials in which the default strategy must match the best other one at 200."""
COMPUTE = 1 / 3
"""Largest compute of trials on rungs, relative to that of full trials."""
MINUTES = 30
"""Largest duration of the comparison in minutes."""
FIXED = (
    (50, "median at 50 trials at least 0.95", np.median, 0.95),
    (200, "median at 200 trials at least 0.99", np.median, 0.99),
    (200, "worst seed at 200 trials at least 0.97", np.min, 0.97),
)
"""Budget, goal, statistic over seeds, and smallest share."""
Results = Mapping[str, Any]
Verdict = tuple[str, str, bool]
"""A goal, the result, and True if it is reached."""


def check_targets(strategies: Results, exact: bool = True) -> list[Verdict]:
    """Return a verdict on every goal on one landscape.

    Args:
        strategies: results by strategy and budget.
        exact: True if shares are relative to the exact front; fixed goals apply only then.
    """
    mine = strategies[OURS]
    others = {name: results for name, results in strategies.items() if name != OURS}
    verdicts = _fixed(mine) if exact else []
    verdicts += [_leads(budget, mine[budget], rival) for budget in in_order(mine) if (rival := _best(others, budget))]
    compared = [budget for budget in in_order(mine) if int(budget) <= PICTURED and _best(others, budget)]
    if compared:
        verdicts += _early(compared[-1], mine, *_best(others, compared[-1]))
        verdicts += _on_test(compared[-1], mine, others)
    for budget in in_order(mine):
        if "compute" in mine[budget]:
            verdicts += [_saving(budget, mine[budget]), _reaching(budget, mine[budget])]
    return verdicts


def in_time(run: Results | None) -> list[Verdict]:
    """Return a verdict on the duration of the last whole run, or an empty list without one."""
    if run is None:
        return []
    minutes = run["seconds"] / 60
    got = f"{minutes:.1f} minutes, {run['processes']} processes on {run['cores']} cores"
    return [(f"the whole comparison in under {MINUTES} minutes on two cores", got, minutes < MINUTES)]


def in_order(results: Results) -> list[str]:
    """Return the budgets of some results, smallest first."""
    return sorted(results, key=int)


def _best(others: Results, budget: str, measure: str = "share") -> tuple[float, str] | None:
    """Return the best median of the other strategies with a budget, and its strategy.

    The best share is the highest, the best regret the lowest.
    """
    found = [(median(own[budget], measure), name) for name, own in others.items() if measure in own.get(budget, {})]
    if not found:
        return None
    return max(found) if measure == "share" else min(found)


def median(result: Results, measure: str = "share") -> float:
    """Return the median over the seeds, or infinity if more than 50 % of them have no value."""
    return float(np.median([np.inf if value is None else value for value in result[measure]]))


def _fixed(mine: Results) -> list[Verdict]:
    """Return verdicts on the goals with fixed numbers."""
    verdicts = []
    for budget, goal, measure, bound in FIXED:
        if str(budget) in mine:
            got = float(measure(mine[str(budget)]["share"]))
            verdicts.append((goal, f"{got:.4f}", got >= bound - TOLERANCE))
    return verdicts


def _leads(budget: str, result: Results, rival: tuple[float, str]) -> Verdict:
    best, name = rival
    got = median(result)
    return f"median at {budget} at least the best other's", f"{got:.4f}, {name} {best:.4f}", got >= best - TOLERANCE


def _early(budget: str, mine: Results, best: float, name: str) -> list[Verdict]:
    """Return verdicts on matching the best other strategy at the largest drawn budget in at most 70 trials.

    One is on a search with that budget, the other on a search with a budget of 70.
    """
    goal = f"what the best other has at {budget} in at most {IN_TRIALS}"
    verdicts = []
    if "picture" in mine[budget]:
        reached = np.flatnonzero(np.array(mine[budget]["picture"]["share"][1]) >= best - TOLERANCE)
        trials = int(reached[0]) + 1 if len(reached) else None
        got = f"{name} {best:.4f}, in {trials or f'more than {budget}'} trials"
        verdicts.append((f"{goal}, budget {budget}", got, trials is not None and trials <= IN_TRIALS))
    if str(IN_TRIALS) in mine:
        got = median(mine[str(IN_TRIALS)])
        verdicts.append((f"{goal}, budget {IN_TRIALS}", f"{name} {best:.4f}, {got:.4f} here", got >= best - TOLERANCE))
    return verdicts


def _on_test(budget: str, mine: Results, others: Results) -> list[Verdict]:
    rival = _best(others, budget, "regret")
    if rival is None or "regret" not in mine[budget]:
        return []
    least, name = rival
    got = median(mine[budget], "regret")
    goal = f"regret on test at {budget} at most the best other's"
    return [(goal, f"{got:.4f}, {name} {least:.4f}", got <= least + TOLERANCE)]


def _saving(budget: str, result: Results) -> Verdict:
    """Return a verdict on trials on rungs: the share of as many full trials for a third of their compute."""
    lost = median(result, "eager_share") - median(result)
    ratio = median(result, "compute") / median(result, "eager_compute")
    goal = f"rungs at {budget} trials: share within {WITHIN} of as many full trials', a third of the compute"
    reached = lost <= WITHIN + TOLERANCE and ratio <= COMPUTE + TOLERANCE
    return goal, f"{lost:.4f} less, {ratio:.2f} of the compute", reached


def _reaching(budget: str, result: Results) -> Verdict:
    """Return a verdict on trials on rungs: the front of full trials first reached for a third of their compute."""
    ratio = median(result, "ratio_to_reach")
    goal = f"rungs at {budget} trials: full trials' share less {WITHIN} first reached with a third of their compute"
    got = f"{ratio:.2f} of the compute" if np.isfinite(ratio) else "not reached by half of the seeds"
    return goal, got, ratio <= COMPUTE + TOLERANCE
