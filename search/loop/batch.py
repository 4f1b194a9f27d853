"""Several proposals at once, for workers that start together and for plans that are evaluated together."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from search.loop.proposer import Proposer, Tried
from search.strategies.strategy import Observation, Proposal
from spaces.plan import Plan


class Ahead:
    """The trials so far, and proposals that have not started, as trials that run."""

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
        """Add a proposal; one that resumes a trial takes its place, with what was measured."""
        cost = self._flops_ratio(proposal.plan)
        trial = Observation(len(self), proposal.plan, proposal.origin, "running", cost)
        if proposal.resumes is not None:
            before = next(seen for seen in self._history.observations() if seen.number == proposal.resumes)
            trial = replace(trial, accuracies=before.accuracies, margins=before.margins)
            self._resumed.add(proposal.resumes)
        self._ahead.append(trial)


def ask(proposer: Proposer, history: Tried, count: int, flops_ratio: Callable[[Plan], float]) -> list[Proposal]:
    """Return the next proposals, all different, each made as if those before it were running.

    They are the same for the same history, and the first ones of a larger `count`.

    Args:
        proposer: of the search.
        history: all trials so far.
        count: number of proposals; fewer are returned where nothing is left.
        flops_ratio: FLOPs of a plan relative to the dense model's, as `Task.flops_ratio`.
    """
    ahead, found = Ahead(history, flops_ratio), list[Proposal]()
    while len(found) < count and (proposal := proposer.next(ahead)) is not None:
        ahead.add(proposal)
        found.append(proposal)
    return found
