"""Measures the plans of a front on the questions of every split: scores, costs, and features of the questions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from objectives.routing import Floats
from search.routing.candidates import Candidate, Candidates, RoutingError

if TYPE_CHECKING:
    from workers.routing.questions import Questions
    from workers.session import Session
    from workers.sources import Split

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """The questions of a split (Q) under plans (K)."""

    questions: "Questions"
    scores: Floats
    """(Q, K) score of each question under each plan."""
    costs: Floats
    """(Q, K) FLOPs of each question under each plan, divided by the mean FLOPs of the dense plan."""
    dense: Floats
    """(Q,) FLOPs of each question under the dense plan."""

    @property
    def dense_flops(self) -> float:
        """Return the mean FLOPs of a question under the dense plan."""
        return float(self.dense.mean())


def open_session(candidates: Candidates, fingerprints: dict[str, str]) -> "Session":
    """Return a session with the model and data of a run.

    Args:
        candidates: the front of the run.
        fingerprints: those of model and data, as stored with the run.

    Raises:
        RoutingError: model or data are not those of the search.
    """
    import torch

    from workers.session import Session

    request = candidates.dense.request
    torch.set_num_threads(request.threads or torch.get_num_threads())
    session = Session(request.model, request.data)
    for what, mark in fingerprints.items():
        if (now := session.fingerprints.get(what, mark)) != mark:
            raise RoutingError(
                f"the {what} must be that of the search, got another fingerprint ({now} now, {mark} then): restore "
                "the old one, or search again"
            )
    return session


def measure(
    session: "Session", split: "Split", plans: Sequence[Candidate], dense: Candidate, say: Say = print
) -> Measured:
    """Return scores and costs of plans on a split; scores that the search did not store are computed.

    Args:
        session: the loaded model and data.
        split: `train`, `search` or `test`.
        plans: K plans.
        dense: the dense plan.
        say: receives one line per plan that answers the split.
    """
    from workers.routing.costs import question_flops
    from workers.routing.questions import read_questions

    questions = read_questions(session.loaded, session.split(split))
    every = [each.request.plan for each in (*plans, dense)]
    flops = question_flops(session.shape, every, questions.tokens, session.workload(dense.request))
    of_dense = flops[:, -1]
    scores = [scores_of(session, split, each, say) for each in plans]
    return Measured(questions, np.array(scores).T, flops[:, :-1] / of_dense.mean(), of_dense)


def scores_of(session: "Session", split: "Split", plan: Candidate, say: Say = print) -> tuple[float, ...]:
    """Return the scores of a plan on a split, stored or computed.

    Args:
        session: the loaded model and data.
        split: `train`, `search` or `test`.
        plan: the plan.
        say: receives one line if the plan answers the split.
    """
    from workers.routing.answer import answer_split

    stored, questions = {"search": plan.search, "test": plan.test}.get(split), len(session.split(split).samples)
    if stored is not None and len(stored) == questions:
        return stored
    found = answer_split(session, plan.request, split)
    say(
        f"{split}: trial {plan.number} ({plan.request.plan}) answers {questions} questions, "
        f"accuracy {found.accuracy:.4f}"
    )
    return found.scores
