"""Measures tables with several rungs: every plan of a landscape is tuned and evaluated at every rung by workers.

Because of tuning this takes seconds per plan, not milliseconds as `benchmarks.truth.enumerated`. The plans are divided
among processes with one worker each. Every trial ends with an evaluation on the test split.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.truth.enumerated import SPLITS, Counted, Truth, count, origin_of, wins_of
from benchmarks.truth.landscapes import Landscape
from objectives.flops import costs
from spaces.plan import Plan
from workers.reports import RungReport
from workers.requests import TrialRequest
from workers.sources import ModelSource
from workers.trial import Worker

_worker = Worker()
"""The worker of this process; it loads its model with the first trial."""


def measure_rungs(landscape: Landscape, processes: int, folder: Path) -> Truth:
    """Return the table of a landscape, with every plan run through all rungs and on the test split.

    Results are appended to `NAME.jsonl` in the folder immediately, so that the measurement can be continued after an
    interruption.

    Args:
        landscape: landscape with several rungs.
        processes: number of workers.
        folder: folder of `NAME.jsonl`.
    """
    dense = request_of(landscape, Plan.parse(landscape.base))
    session = _worker.load(dense)
    wholes = [landscape.whole(plan, session.shape.num_blocks) for plan in landscape.searched.enumerate()]
    reports = _climbed([request_of(landscape, plan) for plan in wholes], processes, folder / f"{landscape.name}.jsonl")
    workload = session.workload(dense)
    ratios = np.array([costs(session.shape, plan, workload).flops_ratio for plan in wholes])
    kinds = {split: [sample.kind for sample in session.split(split).samples[: landscape.questions]] for split in SPLITS}
    origin = {**origin_of(session, landscape.questions), "seed": dense.seed}
    origin["fidelity"] = ", then ".join(
        f"{rung.tuning_steps} steps, {rung.questions} questions" for rung in landscape.rungs
    )
    cheapest = count(session, landscape, "search", landscape.rungs[0].questions or landscape.questions)
    return table_of(landscape, reports, kinds, cheapest, ratios, wins_of(session, landscape), origin)


def request_of(landscape: Landscape, plan: Plan) -> TrialRequest:
    """Return the trial of one plan with every rung and, after the last one, the test split."""
    test = landscape.rungs[-1].model_copy(update={"split": "test"})
    return TrialRequest(
        plan=plan,
        model=ModelSource(name=landscape.model),
        rungs=(*landscape.rungs, test),
        threads=1,
    )


def _climbed(requests: Sequence[TrialRequest], processes: int, partial: Path) -> list[list[RungReport]]:
    """Return the reports of every trial, in order; trials in the partial file are not run again."""
    known = {}
    if partial.exists():
        lines = partial.read_text().splitlines()
        known = {plan: [RungReport(**report) for report in own] for plan, own in map(json.loads, lines)}
    missing = [request for request in requests if str(request.plan) not in known]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool, partial.open("a") as file:
        for number, (request, own) in enumerate(zip(missing, pool.map(climb, missing), strict=True), start=1):
            plan = str(request.plan)
            known[plan] = own
            file.write(json.dumps([plan, [report.model_dump(mode="json") for report in own]]) + "\n")
            if number % 16 == 0:
                file.flush()
                print(f"{number} of {len(missing)}", flush=True)
    return [known[str(request.plan)] for request in requests]


def climb(request: TrialRequest) -> list[RungReport]:
    """Run one trial to its end and return its reports without scores and costs."""
    return [report.model_copy(update={"scores": (), "costs": {}}) for report in _worker.rungs(request)]


def table_of(
    landscape: Landscape,
    reports: Sequence[Sequence[RungReport]],
    kinds: dict[str, Sequence[str]],
    cheapest: Counted,
    ratios: np.ndarray,
    wins: np.ndarray,
    origin: dict[str, object],
) -> Truth:
    """Return the table of P plans.

    Args:
        landscape: the landscape.
        reports: per plan, one report per rung and one of the test split.
        kinds: split -> kind of every question of the last rung.
        cheapest: the same plans untuned, on the questions of the first rung.
        ratios: (P,) FLOPs ratios.
        wins: as `Table.wins`.
        origin: the origin of the numbers.
    """
    names = tuple(dict.fromkeys(kinds["search"]))
    last = {"search": -2, "test": -1}
    counts = {split: np.array([list(kinds[split]).count(name) for name in names]) for split in SPLITS}
    shares = {
        split: np.array([[own[last[split]].accuracy_by_kind[name] for name in names] for own in reports])
        for split in SPLITS
    }
    return Truth(
        landscape,
        right={split: np.rint(shares[split] * counts[split]).astype(np.uint16) for split in SPLITS},
        questions=counts,
        kinds=names,
        margins=cheapest.margins,
        asked=cheapest.asked,
        flops_ratio=ratios,
        wins=wins,
        origin=origin,
        climbed=np.array([[report.accuracy for report in own[:-1]] for own in reports]),
    )
