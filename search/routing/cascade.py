"""Cascades: a cheap plan answers, and a more expensive one answers again where the margin of the answer is small.

Of the first answer, the second one uses the output of the vision tower again. If the two plans have the same mapping
module, it also uses the hidden states, keys and values of the prompt in all blocks before the first one in which the
plans differ: they are the same. Everything else is computed twice, and counted twice.

A cascade may follow a router: the router chooses the first plan of each question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from objectives.routing import Floats, Picks, Policies
from search.routing.candidates import Candidate
from search.routing.measure import Measured, Say

if TYPE_CHECKING:
    from workers.session import Session
    from workers.sources import Split

STEPS = 24
"""Number of thresholds per pair of plans."""
ROUTED_STEPS = 6
"""Number of thresholds per second plan behind a router."""


@dataclass(frozen=True)
class SecondAnswers:
    """Margins of answers of the chosen plans (K) to the questions (Q) of a split, and savings of a second answer."""

    margins: Floats
    """(Q, K) margin of each answer, in nats."""
    saved: Floats
    """(Q, K, K) cost of the second plan that is saved after the first one; 0 unless the second is more expensive."""


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


def run_cascades(cascades: Sequence[Cascade], split: Measured, chosen: Sequence[int], again: SecondAnswers) -> Policies:
    """Return the policies of cascades on a split; a question that is answered twice costs both answers.

    Args:
        cascades: the cascades.
        split: the questions under all plans of the front.
        chosen: indices of the K plans in the front.
        again: margins and shared costs of the K plans.
    """
    questions = len(split.scores)
    picks = [np.full(questions, each.first) for each in cascades]
    return _answered_twice(cascades, picks, split, chosen, again, 0.0)


def run_routed_cascades(
    picks: Sequence[Picks], cascades: Sequence[Cascade], split: Measured, chosen: Sequence[int], again: SecondAnswers,
    extra: float,
) -> Policies:  # fmt: skip
    """Return one policy per choice of a router and cascade: the router's plan answers first.

    The second plan answers only questions whose first plan is cheaper.

    Args:
        picks: per policy of the router, (Q,) index of the plan of each question.
        cascades: second plan and threshold; the first plan of each is not read.
        split: the questions under all plans of the front.
        chosen: indices of the K plans in the front.
        again: margins and shared costs of the K plans.
        extra: cost of the decision of the router.
    """
    pairs = [(each, pick) for pick in picks for each in cascades]
    return _answered_twice([each for each, _ in pairs], [pick for _, pick in pairs], split, chosen, again, extra)


def _answered_twice(
    cascades: Sequence[Cascade], picks: Sequence[Picks], split: Measured, chosen: Sequence[int], again: SecondAnswers,
    extra: float,
) -> Policies:  # fmt: skip
    scores, costs = split.scores[:, list(chosen)], split.costs[:, list(chosen)]
    rows = np.arange(len(scores))
    found: list[tuple[Floats, Floats]] = []
    for each, pick in zip(cascades, picks, strict=True):
        goes_on = (again.margins[rows, pick] < each.threshold) & (pick < each.second)
        second = costs[:, each.second] - again.saved[rows, pick, each.second]
        found.append((
            np.where(goes_on, scores[:, each.second], scores[rows, pick]),
            costs[rows, pick] + goes_on * second + extra,
        ))  # fmt: skip
    return Policies(np.stack([each for each, _ in found]), np.stack([each for _, each in found]))


def thresholds_of(margins: Floats) -> list[Cascade]:
    """Return second plans with thresholds at quantiles of all margins, for cascades behind a router.

    Args:
        margins: (Q, K) margin of each answer on the search split, in nats.
    """
    shares = np.linspace(0, 0.5, ROUTED_STEPS + 1)[1:]
    thresholds = np.unique(np.quantile(margins, shares)).tolist()
    return [Cascade(0, second, each) for second in range(1, margins.shape[1]) for each in thresholds]


def measure_again(
    session: "Session", split: "Split", plans: Sequence[Candidate], measured: Measured, say: Say = print
) -> SecondAnswers:
    """Return margins and shared costs of K plans on a split.

    Args:
        session: the loaded model and data.
        split: `search` or `test`.
        plans: K plans.
        measured: the questions of the split.
        say: receives one line per plan.

    Raises:
        ValueError: the metric does not read generated answers.
    """
    from workers.routing.answer import answer_margins_of, digest_of_weights
    from workers.routing.costs import saved_flops

    columns = []
    for plan in plans:
        columns.append(answer_margins_of(session, plan.request, split))
        say(f"{split}: margins of the answers of trial {plan.number}")
    weights = [digest_of_weights(session, plan.request) for plan in plans]
    tokens, mean = measured.questions.tokens, session.workload(plans[0].request)
    saved = np.zeros((len(tokens), len(plans), len(plans)))
    for first, second in combinations(range(len(plans)), 2):
        one, other = plans[first].request.plan, plans[second].request.plan
        same = weights[first] == weights[second]
        flops = saved_flops(session.shape, one, other, tokens, mean, same)
        saved[:, first, second] = flops / measured.dense_flops
    return SecondAnswers(np.array(columns).T, saved)
