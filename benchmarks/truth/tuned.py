"""The truth at several rungs: every plan of a landscape really tuned and evaluated at every rung by workers.

Tuning makes this expensive: seconds per plan where `benchmarks.truth.enumerated` takes milliseconds. The plans are
shared out among processes, each with a worker of its own. Every trial ends with one look at the test split.
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
from workers.requests import ModelSource, RungReport, TrialRequest
from workers.trial import Worker

_worker = Worker()
"""Of this process; loads its model with the first trial."""


def measure_rungs(landscape: Landscape, processes: int, folder: Path) -> Truth:
    """Runs every plan of a landscape through all of its rungs, and then the test split.

    What is measured goes into `NAME.jsonl` in the folder at once; stopped and started again, it goes on from there.
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
    """One plan at every rung, and as it is after the last one on the test split."""
    test = landscape.rungs[-1].model_copy(update={"split": "test"})
    return TrialRequest(
        plan=plan,
        model=ModelSource(name=landscape.model),
        rungs=(*landscape.rungs, test),
        threads=1,
    )


def _climbed(requests: Sequence[TrialRequest], processes: int, partial: Path) -> list[list[RungReport]]:
    """The reports of every trial, in order; what the partial file has is not run again."""
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
    """One trial to its end, without what a table has no use for."""
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
    """The table of P plans, each with a report a rung and one of the test split.

    Args:
        kinds: per split, of every question of the last rung.
        cheapest: the same plans untuned, on the questions of the first rung.
        ratios: (P,) FLOPs ratios.
        wins: as `Table.wins`.
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
