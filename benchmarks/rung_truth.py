"""The truth at several rungs: every plan of a landscape really tuned and evaluated at every rung by the worker.

Tuning is what makes this dear: seconds a plan where `benchmarks.truth` takes milliseconds.
"""

import json
from collections.abc import Sequence

import numpy as np

from benchmarks.landscapes import Landscape
from benchmarks.truth import Truth, origin_of
from objectives.flops import costs
from spaces.plan import Plan
from workers.requests import Rung, RungReport, TrialRequest, TuningRecipe
from workers.trial import Worker

BACKWARD = 3
"""A tuning step costs this many forward passes: a backward pass is about two."""
TUNE_QUESTIONS = 256
"""Questions of the tune split, which are answered before tuning and after every tuned rung."""


def measure_rungs(landscape: Landscape) -> Truth:
    """Runs every plan of a landscape through all of its rungs."""
    worker, reports = Worker(), []
    plans = list(landscape.searched.enumerate())
    request = TrialRequest(plan=json.loads(Plan.parse(landscape.base).to_json()), rungs=landscape.rungs, threads=1)
    session = worker.load(request)
    wholes = [landscape.whole(plan, session.shape.num_blocks) for plan in plans]
    for number, plan in enumerate(wholes, start=1):
        own = request.model_copy(update={"plan": json.loads(plan.to_json())})
        reports.append(list(worker.rungs(own)))
        if number % 16 == 0:
            print("search", number, flush=True)
    workload = session.workload(request)
    kinds = [sample.kind for sample in session.split("search").samples[: landscape.questions]]
    ratios = np.array([costs(session.shape, plan, workload).flops_ratio for plan in wholes])
    origin = {**origin_of(session.fingerprints, landscape.questions), "seed": request.seed}
    origin["fidelity"] = ", then ".join(
        f"{rung.tuning_steps} steps, {rung.questions} questions" for rung in landscape.rungs
    )
    return table_of(landscape, reports, kinds, ratios, origin)


def table_of(
    landscape: Landscape,
    reports: Sequence[Sequence[RungReport]],
    kinds: Sequence[str],
    ratios: np.ndarray,
    origin: dict[str, object],
) -> Truth:
    """The table of P plans, each with a report a rung.

    Args:
        kinds: of every question of the last rung.
        ratios: (P,) FLOPs ratios.
    """
    names = tuple(dict.fromkeys(kinds))
    counts = np.array([list(kinds).count(name) for name in names])
    shares = np.array([[own[-1].accuracy_by_kind[name] for name in names] for own in reports])
    return Truth(
        landscape,
        right={"search": np.rint(shares * counts).astype(np.uint16)},
        questions={"search": counts},
        kinds=names,
        flops_ratio=ratios,
        origin=origin,
        climbed=np.array([[report.accuracy for report in own] for own in reports]),
    )


def work(rungs: Sequence[Rung]) -> np.ndarray:
    """(R,) what each rung costs, in questions answered by the same plan; tuning as the passes it takes."""
    recipe = TuningRecipe()
    done, costs_of = 0, []
    for rung in rungs:
        if rung.questions is None:
            raise ValueError(f"the rungs of a table must have a number of questions, got {rung}")
        steps = rung.tuning_steps - done
        tuned = BACKWARD * steps * recipe.images_per_step * recipe.questions_per_image
        checks = TUNE_QUESTIONS * ((steps > 0) + (steps > 0 and done == 0))
        costs_of.append(rung.questions + tuned + checks)
        done = rung.tuning_steps
    return np.array(costs_of, dtype=float)
