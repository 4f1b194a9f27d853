"""Proposes several plans at once, for plans that are evaluated together outside a search."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from search.loop.proposer import Proposer, Tried
from search.strategies.strategy import Observation, Proposal
from spaces.plan import Plan


class Ahead:
    """A history extended by proposals that have not started; they appear in it as running trials."""

    def __init__(self, history: Tried, flops_ratio: Callable[[Plan], float]) -> None:
        self._history, self._flops_ratio = history, flops_ratio
        self._ahead: list[Observation] = []
        self._resumed: set[int] = set()

    def __len__(self) -> int:
        return len(self._history) + len(self._ahead)

    def __contains__(self, plan: Plan) -> bool:
        return plan in self._history or any(plan == trial.plan for trial in self._ahead)

    def observations(self) -> Sequence[Observation]:
        so_far = (trial for trial in self._history.observations() if trial.number not in self._resumed)
        return [*so_far, *self._ahead]

    def add(self, proposal: Proposal) -> None:
        """Add a proposal as a running trial.

        One that resumes a stopped trial replaces it and takes over its measurements.
        """
        cost = self._flops_ratio(proposal.plan)
        trial = Observation(len(self), proposal.plan, proposal.origin, "running", cost)
        if proposal.resumes is not None:
            before = next(seen for seen in self._history.observations() if seen.number == proposal.resumes)
            trial = replace(trial, accuracies=before.accuracies, margins=before.margins)
            self._resumed.add(proposal.resumes)
        self._ahead.append(trial)


def ask(proposer: Proposer, history: Tried, count: int, flops_ratio: Callable[[Plan], float]) -> list[Proposal]:
    """Return the next proposals, all different; each is made with those before it as running trials.

    The same history gives the same proposals; a larger `count` only appends to them.

    Args:
        proposer: the proposer of the search.
        history: all trials so far.
        count: number of proposals; fewer are returned if no untried plan is left.
        flops_ratio: FLOPs of a plan relative to the dense model's, as `Task.flops_ratio`.
    """
    ahead, found = Ahead(history, flops_ratio), list[Proposal]()
    while len(found) < count and (proposal := proposer.next(ahead)) is not None:
        ahead.add(proposal)
        found.append(proposal)
    return found
