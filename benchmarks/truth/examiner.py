"""Measures single plans of a landscape with its model, which is loaded at first use, once per process."""

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.truth.enumerated import origin_of, wins_of
from benchmarks.truth.landscapes import Landscape
from spaces.plan import Plan
from workers.sources import DataSource, ModelSource

if TYPE_CHECKING:
    from benchmarks.truth.prefix_tree import Grader, Grades
    from workers.session import Session


class Examiner:
    """Grades the plans of a landscape, untuned, on the search split."""

    def __init__(self, landscape: Landscape) -> None:
        self.landscape = landscape

    @property
    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprints of the model and the data."""
        return self.session.fingerprints

    def grade(self, plan: Plan) -> "Grades":
        """Return the grades of a plan of the landscape, one per question."""
        return self._grader.grade(self.landscape.whole(plan, self.session.shape.num_blocks))

    def wins(self) -> np.ndarray:
        """Return the gains of gates of the dense plan, as `Table.wins`."""
        return wins_of(self.session, self.landscape)

    def origin(self) -> dict[str, Any]:
        """Return the origin to store with the results."""
        return origin_of(self.session, self.landscape.questions)

    @cached_property
    def session(self) -> "Session":
        """Return the model and data set, loaded at first use."""
        import torch

        from workers.session import Session

        torch.set_num_threads(1)
        return Session(ModelSource(name=self.landscape.model), DataSource())

    @cached_property
    def _grader(self) -> "Grader":
        from benchmarks.truth.prefix_tree import Grader

        return Grader(self.session.loaded, self.session.split("search"), self.landscape.questions)


@cache
def examiner_of(landscape: Landscape) -> Examiner:
    """Return the examiner of a landscape, the same object for every table of this process."""
    return Examiner(landscape)
