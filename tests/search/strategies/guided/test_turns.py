"""The choice of the next proposer, and the trust in predictions."""

from itertools import pairwise

import numpy as np
import pytest

from objectives.hypervolume import hypervolume
from objectives.objectives import MAXIMIZE, REFERENCE
from search.strategies.guided.calibration import MAX_WIDENING, check
from search.strategies.guided.coverage import rarity
from search.strategies.guided.fidelities import Conditional
from search.strategies.guided.turns import MAX_OTHERS, MIN_GAIN, PATIENCE, Standing, gainful, gains, standing
from search.strategies.strategy import Focus, Observation
from spaces.plan import Plan
from tests.search.strategies.landscape import search, task

EVERYWHERE = Focus()


def trial(number: int, accuracy: float, cost: float, origin: str = "expected to add 0.1") -> Observation:
    return Observation(number, Plan.parse("..."), origin, "complete", cost, (accuracy,), True)


def idle(count: int, origin: str = "expected to add 0.1") -> list[Observation]:
    """A search whose last trials found nothing."""
    first = [trial(0, 0.9, 0.99, "baseline dense"), trial(1, 0.8, 0.5)]
    return first + [trial(2 + number, 0.1, 0.6, origin) for number in range(count)]


def test_a_gain_is_growth_of_the_hypervolume() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((60, 2)).round(1)
    points[::7, 1] = 1.2
    found = gains([trial(number, *point) for number, point in enumerate(points.tolist())], EVERYWHERE)
    volumes = [hypervolume(points[:count], REFERENCE, MAXIMIZE) if count else 0.0 for count in range(61)]
    assert found == pytest.approx([after - before for before, after in pairwise(volumes)])


def test_the_surrogate_has_every_turn_while_it_finds_something() -> None:
    assert standing(idle(PATIENCE), EVERYWHERE) == Standing(0.0, 0.0, PATIENCE)
    shares = [standing(idle(count), EVERYWHERE).others for count in (12, 20, 60, 400)]
    assert 0 < shares[0] < shares[1] < shares[2] <= shares[3] <= MAX_OTHERS
    assert shares[3] > 0.4, "it is never locked in"


def test_turns_go_to_those_who_find_something() -> None:
    found = idle(20)
    for step in range(5):
        found.append(trial(22 + step, 0.81 + 0.01 * step, 0.5, "evolution: mutation of 1"))
    missed = idle(20) + [trial(22 + step, 0.1, 0.5, "evolution: mutation of 1") for step in range(5)]
    assert standing(found, EVERYWHERE).others > 1.2 * standing(missed, EVERYWHERE).others


def test_gains_outside_the_focus_do_not_count() -> None:
    assert gains([trial(0, 0.4, 0.5), trial(1, 0.6, 0.5)], Focus(min_accuracy=0.5)) == pytest.approx([0.0, 0.05])


def test_gains_too_small_do_not_count() -> None:
    tiny = 0.4 * MIN_GAIN
    trials = [trial(0, 0.8, 0.5), trial(1, 0.8 + tiny, 0.5), trial(2, 0.8 + 4 * tiny, 0.5)]
    assert gainful(trials, EVERYWHERE) == [True, False, True]


def test_deviations_that_were_too_small_grow() -> None:
    rng = np.random.default_rng(3)
    values, own = rng.standard_normal(200), np.ones(200)
    right, _ = check(Conditional(np.zeros(200), 0.0, own), values)
    assert right == pytest.approx(1.0, abs=0.2)
    doubt, score = check(Conditional(np.zeros(200), 0.0, own / 3), values)
    assert doubt == pytest.approx(3.0, abs=0.4)
    assert score < check(Conditional(np.zeros(200), 0.0, own), values)[1] + 0.05
    assert check(Conditional(np.zeros(200), 0.0, own / 100), values)[0] == MAX_WIDENING


def test_pairs_never_left_out_together_are_rare() -> None:
    tried = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1]], dtype=float)
    known, new = rarity(np.array([[1, 0, 0, 1], [1, 1, 0, 0]], dtype=float), tried)
    assert new == 1.0 and known < 0.5


def test_a_search_that_is_stuck_leaves_the_surrogate() -> None:
    def redundant(plan: Plan) -> float:
        """Blocks 2 and 9 are fatal alone and harmless together; of the others every one costs a little."""
        skipped = np.array([not block.is_kept for block in plan.blocks])
        return 0.0 if skipped[2] != skipped[9] else float(0.9 - 0.2 * np.delete(skipped, [2, 9])[:5].sum())

    origins = [proposal.origin for proposal in search(task("blocks", budget=120), "guided", redundant)]
    assert any(origin.startswith("evolution") for origin in origins)
    assert any(origin.startswith("coverage") for origin in origins)
