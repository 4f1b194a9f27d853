"""Predicts the work of a trial and of a whole search in closed form, as a number of questions of the dense model."""

import math
from collections.abc import Mapping

from search.analysis.eta import DISTINCT, FRONT_GROWTH, usually_promoted
from search.settings import Settings
from workers.requests import Rung, TrialRequest, TuningRecipe

STEP = 2.1
"""Work per question of a tuning step, where evaluating a question is 1; measured on the embedded model."""
MARGINS = 0.7
"""Work per question of measuring margins; measured on the embedded model, like all constants below."""
IMPORTANCE = 25.0
"""Work per question of measuring the importance of the sub-layers."""
FLOOR = 640.0
"""Work of measuring the floor."""
LATENCY = 160.0
"""Work of measuring the latency of one plan."""
OVERHEAD = 40.0
"""Work of a rung that does not depend on plan or questions."""
USUAL_ROWS = 1024
"""Questions of a split whose number of rows is not known."""
USUAL_RATIO = 0.45
"""Mean FLOPs ratio of the plans of a search."""


def work_of_rung(request: TrialRequest, index: int, flops_ratio: float, rows: Mapping[str, int]) -> float:
    """Return the expected work of one rung of a trial.

    Args:
        request: the trial.
        index: index of the rung in the request.
        flops_ratio: FLOPs of the plan relative to the dense model.
        rows: split -> number of questions; splits may be missing.
    """
    rung = request.rungs[index]
    before = request.rungs[index - 1].tuning_steps if index > request.first_rung else 0
    questions = _questions(rung, rows)
    work = flops_ratio * (questions * (1 + MARGINS * rung.margins) + _tuning(rung, before, request.tuning, rows))
    return work + OVERHEAD + IMPORTANCE * questions * rung.importance + FLOOR * rung.floor + LATENCY * rung.latency


def _questions(rung: Rung, rows: Mapping[str, int]) -> float:
    there = rows.get(rung.split, USUAL_ROWS)
    return min(rung.questions or there, there)


def _tuning(rung: Rung, before: int, recipe: TuningRecipe, rows: Mapping[str, int]) -> float:
    """Return the work of tuning a dense plan from `before` steps on: steps, and evaluations of the tune split."""
    if not rung.tuning_steps:
        return 0.0
    evaluations = 1 if before else 2
    per_step = recipe.images_per_step * recipe.questions_per_image
    return STEP * per_step * (rung.tuning_steps - before) + evaluations * rows.get("tune", 0)


def work_of_search(settings: Settings, rows: Mapping[str, int]) -> float:
    """Return the expected work of all trials and final tests.

    It assumes usual shares of trials at each rung, and a front of usual size (`search.analysis.eta`).
    """
    done, work = 0, 0.0
    for number, rung in enumerate(settings.rungs):
        trials = usually_promoted(settings.keep_fraction, number, settings.budget)
        tuning = _tuning(rung, done, settings.tuning, rows)
        work += trials * (_questions(rung, rows) * (1 + (0 if number else MARGINS)) + tuning + OVERHEAD)
        done = rung.tuning_steps
    tests = min(FRONT_GROWTH * math.sqrt(settings.budget), trials)
    again = (settings.final_seeds - 1) * (1.0 if settings.final_plans == "all" else DISTINCT) if done else 0.0
    test = Rung(split="test", tuning_steps=done)
    work += tests * ((1 + again) * _questions(test, rows) + again * _tuning(test, 0, settings.tuning, rows))
    return USUAL_RATIO * work
