"""Cascades: a cheap plan answers, and a more expensive one answers again where the margin of the answer is small.

The two plans have different mapping modules, so that of the first answer only the vision tower's output is used again:
everything from the mapping module on is computed twice, and counted twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from objectives.routing import Floats, Policies
from search.routing.candidates import Candidate
from search.routing.measure import Measured, Say

if TYPE_CHECKING:
    from workers.session import Session
    from workers.sources import Split

STEPS = 24
"""Number of thresholds per pair of plans."""


@dataclass(frozen=True)
class Cascade:
    """A cheap plan, the one that answers again, and the margin below which it does."""

    first: int
    """Index among the chosen plans."""
    second: int
    threshold: float
    """Margin of the first answer, in nats."""


def cascades_of(margins: Floats) -> list[Cascade]:
    """Return cascades of all pairs of plans, with thresholds at quantiles of the margins.

    Args:
        margins: (Q, K) margin of each answer on the search split, in nats; plans cheapest first.
    """
    shares = np.linspace(0, 1, STEPS + 2)[1:-1]
    return [
        Cascade(first, second, threshold)
        for first, second in combinations(range(margins.shape[1]), 2)
        for threshold in np.unique(np.quantile(margins[:, first], shares)).tolist()
    ]


def run_cascades(cascades: Sequence[Cascade], margins: Floats, split: Measured, chosen: Sequence[int]) -> Policies:
    """Return the policies of cascades on a split; a question that is answered twice costs both plans.

    Args:
        cascades: the cascades.
        margins: (Q, K) margin of each answer of the chosen plans, in nats.
        split: the questions under all plans of the front.
        chosen: indices of the K plans in the front.
    """
    scores, costs = split.scores[:, list(chosen)], split.costs[:, list(chosen)]
    again = [margins[:, each.first] < each.threshold for each in cascades]
    return Policies(
        np.stack([
            np.where(goes_on, scores[:, each.second], scores[:, each.first])
            for each, goes_on in zip(cascades, again, strict=True)
        ]),
        np.stack([
            costs[:, each.first] + goes_on * (costs[:, each.second] - split.vision)
            for each, goes_on in zip(cascades, again, strict=True)
        ]),
    )  # fmt: skip


def measure_margins(session: "Session", split: "Split", plans: Sequence[Candidate], say: Say = print) -> Floats:
    """Return the margin of the answer of each plan to each question, (Q, K), in nats.

    Args:
        session: the loaded model and data.
        split: `search` or `test`.
        plans: K plans.
        say: receives one line per plan.

    Raises:
        ValueError: the metric does not read generated answers.
    """
    from workers.routing.answer import answer_margins_of

    columns = []
    for plan in plans:
        columns.append(answer_margins_of(session, plan.request, split))
        say(f"{split}: margins of the answers of trial {plan.number}")
    return np.array(columns).T
