"""Measures what each changed block of a plan costs and saves, by running the plan without that one change."""

from collections.abc import Iterator

from objectives.intervals import paired_interval
from search.analysis.explain import Contribution
from spaces.block import SINGLE_BLOCKS
from spaces.plan import Op, Plan
from workers.reports import RungReport, TrialReport
from workers.requests import Rung, TrialRequest
from workers.trial import Worker, run_trial


def left_out(plan: Plan) -> Iterator[tuple[tuple[int, ...], str, Plan]]:
    """Yield (indices of the blocks, text of the change, the plan without it) per changed block or pair."""
    for index, block in enumerate(plan.blocks):
        if block == SINGLE_BLOCKS[Op.KEEP] or block.op is Op.PAIRED:
            continue
        places = (index, index + 1) if block.op is Op.PAIR else (index,)
        kept = [SINGLE_BLOCKS[Op.KEEP] if place in places else each for place, each in enumerate(plan.blocks)]
        alone = [plan.blocks[place] for place in places]
        yield places, str(Plan(tuple(alone))), Plan(tuple(kept))


def contributions(request: TrialRequest, questions: int, worker: Worker | None = None) -> Iterator[Contribution]:
    """Yield the contribution of every changed block or pair, first block first.

    Args:
        request: request of the trial, with its stored mapping module; its rungs are ignored.
        questions: number of questions of the search split that each plan answers.
        worker: a worker that may have loaded the model already; by default a new one.

    Raises:
        ValueError: the model or data can't be used, or a plan could not be run.
    """
    worker = worker or Worker()
    once = {"rungs": (Rung(questions=questions),), "first_rung": 0}
    whole = _run(worker, request.model_copy(update=once))
    for blocks, text, plan in left_out(request.plan):
        without = _run(worker, request.model_copy(update={"plan": plan, **once, "mapping_plan": request.plan}))
        yield Contribution(
            blocks=blocks,
            text=text,
            saved=without.costs["flops_ratio"] - whole.costs["flops_ratio"],
            lost=without.accuracy - whole.accuracy,
            interval=paired_interval(without.scores, whole.scores),
        )


def _run(worker: Worker, request: TrialRequest) -> RungReport:
    report: TrialReport = run_trial(worker, request, lambda rung: True)
    if not report.rungs:
        raise ValueError(f"the plan '{request.plan}' must run, got: {report.reason}")
    return report.rungs[-1]
