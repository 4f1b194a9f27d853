"""Rows are computed once per trial."""

import numpy as np

from search.strategies.guided.measured import RowCache
from search.strategies.strategy import Observation
from spaces.plan import Plan


def trials(*numbers: int) -> list[Observation]:
    return [Observation(number, Plan.parse("..b"), "", "complete", 1.0) for number in numbers]


def test_every_row_is_made_once_and_read_in_the_order_asked_for() -> None:
    made: list[int] = []

    def make(trial: Observation) -> tuple[int, int]:
        made.append(trial.number)
        return trial.number, -trial.number

    kept = RowCache(make, 2, np.int64)
    assert kept.of([]).shape == (0, 2)
    for numbers in ((0,), (0, 7, 3), range(40), (39, 3, 0)):
        assert kept.of(trials(*numbers)).tolist() == [[number, -number] for number in numbers]
    assert sorted(made) == list(range(40))
    kept.of(trials(5))[:] = 99
    assert kept.of(trials(5)).tolist() == [[5, -5]], "what is read is the reader's own"
