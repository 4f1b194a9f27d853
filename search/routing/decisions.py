"""Returns the plan of every question, as a router decides at the share of the dense accuracy that summaries show."""

import numpy as np

from objectives.routing import PRICES, Policies, picks_at
from search.routing.route import Routed

LEVEL = 0.97
"""Share of the dense accuracy that summaries show, and that an exported router keeps without a budget."""


OLDER = "The search went on since the router was trained: run search.route again."
"""Note where a trial ended after that."""


def decisions(routed: Routed) -> dict[str, list[int]]:
    """Return split -> number of the trial that answers each question, by the cheapest policy that keeps `LEVEL`.

    Args:
        routed: the router with what was measured.

    Returns:
        The splits `search` and `test`; empty if no policy is as accurate on the search split.
    """
    index = cheapest(routed.adaptive("search"), LEVEL * float(np.mean(routed.candidates.dense.search)))
    if index is None:
        return {}
    return {split: trials_of(routed, index, split) for split in ("search", "test")}


def cheapest(policies: Policies, needed: float) -> int | None:
    """Return the index of the cheapest policy that is as accurate as needed, or None."""
    points = policies.points
    good = np.flatnonzero(points[:, 0] >= needed)
    return int(good[np.argmin(points[good, 1])]) if len(good) else None


def trials_of(routed: Routed, index: int, split: str) -> list[int]:
    """Return the number of the trial that answers each question of a split under a policy of the adaptive front.

    Args:
        routed: the router with what was measured.
        index: index of the policy.
        split: `search` or `test`.
    """
    plans, questions = routed.candidates.plans, len(routed.splits[split].scores)
    if index < len(plans) or routed.learned is None:
        return [plans[index].number] * questions
    picks = picks_at(routed.learned.expected[split], routed.ratios, PRICES[index - len(plans)])
    return [plans[routed.chosen[pick]].number for pick in picks]
