"""Plans per hour by four ways of evaluating them, side by side: `python -m benchmarks.engine`.

- naive: a fresh process per plan, whose model reads every question from its pixels in a sequence of its own;
- plain: the same in a process that keeps the model;
- packed: a worker, which keeps image features and packed questions, and runs one trial after another;
- tree: the same worker, with the plans in one batch (`workers.plan_batch`).

The plans are children of one archive, as a search proposes them. The share of wall clock inside the model is the time
in its forward and backward passes; FLOPs are counted by torch, and compared with the rate of a large matrix product.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.origin import heading
from spaces.block import SINGLE_OPS
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.blocks.patch import patched
from workers.evaluation.evaluate import evaluate
from workers.inference.plain_split import PlainSplit
from workers.requests import Rung, TrialRequest
from workers.session import Session
from workers.sources import DataSource, ModelSource
from workers.trial import Worker, run_trial

ARCHIVE = ("..aff..fbfba", "..a.ffff.fab", ".babfffbbfba", ".fabffffffba", "fbabfbfbbfbb")
"""Plans of the embedded model whose children are measured."""
QUESTIONS = 256
RUNGS = (Rung(questions=QUESTIONS), Rung(tuning_steps=10, questions=512), Rung(tuning_steps=50))


def children(number: int, seed: int) -> list[Plan]:
    """Return distinct plans, each a plan of the archive with one to three blocks changed."""
    rng, found = np.random.default_rng(seed), dict[Plan, None]()
    while len(found) < number:
        plan = Plan.parse(ARCHIVE[rng.integers(len(ARCHIVE))])
        for block in rng.choice(len(plan), size=rng.integers(1, 4), replace=False):
            plan = plan.replace(int(block), SINGLE_OPS[rng.integers(len(SINGLE_OPS))])
        found[plan] = None
    return list(found)


def request_of(plan: Plan, rungs: Sequence[Rung] = RUNGS) -> TrialRequest:
    """Return the request of a trial on one thread."""
    return TrialRequest(plan=plan, rungs=tuple(rungs), threads=1)


def seconds_of(run: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a call."""
    start = perf_counter()
    run()
    return perf_counter() - start


def plain(session: Session, plan: Plan) -> None:
    """Answer the questions of rung 0 from their pixels, one per sequence."""
    split = PlainSplit(session.loaded, session.samples("search")[:QUESTIONS])
    with apply_plan(session.loaded.model, plan):
        evaluate(session.loaded, split, "exact_match")


def naive(plan: Plan) -> None:
    """Do the same in a fresh process."""
    subprocess.run([sys.executable, "-m", "benchmarks.engine", "--once", str(plan)], check=True, env=os.environ)


@contextmanager
def stopwatch(session: Session) -> Iterator[list[float]]:
    """Record the seconds of every outer call of the model's passes and of backward, inside the `with` block."""
    spent: list[float] = []
    inside = [False]

    def timed(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if inside[0]:
                return run(*args, **kwargs)
            inside[0], start = True, perf_counter()
            try:
                return run(*args, **kwargs)
            finally:
                inside[0] = False
                spent.append(perf_counter() - start)

        return call

    loaded, grad = session.loaded, torch.autograd.grad
    parts = [loaded.decoder, loaded.head, *(loaded.model.get_submodule(path) for path in loaded.mapping)]
    torch.autograd.grad = timed(grad)
    try:
        with patched([(part, "forward", timed(part.forward)) for part in parts]):
            yield spent
    finally:
        torch.autograd.grad = grad


def matrix_rate() -> float:
    """Return the FLOP/s of a float32 product of two matrices of 2,000 rows on one thread, the best of five."""
    one = torch.randn(2000, 2000)
    return 2 * 2000**3 / min(seconds_of(lambda: one @ one) for _ in range(5))


def by_rung(worker: Worker, plan: Plan) -> list[dict[str, float]]:
    """Return per rung of a tuned trial its seconds, the share inside the model, and the FLOP/s."""
    rows = []
    for number in range(len(RUNGS)):
        request = request_of(plan, RUNGS[: number + 1]).model_copy(update={"first_rung": number})
        with FlopCounterMode(display=False) as counter:
            run_trial(worker, request, lambda _: True)
        with stopwatch(worker.load(request)) as spent:
            seconds = seconds_of(partial(run_trial, worker, request, lambda _: True))
        rows.append({"seconds": seconds, "inside": sum(spent) / seconds, "rate": counter.get_total_flops() / seconds})
    return rows


def _work(plans: Sequence[str], barrier: Any, queue: Any) -> None:
    torch.set_num_threads(1)
    worker, requests = Worker(), [request_of(Plan.parse(text)) for text in plans]
    worker.evaluate(requests[:1])
    barrier.wait()
    start = perf_counter()
    for request in requests:
        run_trial(worker, request, lambda _: True)
    queue.put((start, perf_counter()))


def tuned_per_hour(plans: Sequence[Plan], processes: int) -> float:
    """Return the tuned plans per hour of worker processes on one thread each, after their start."""
    context = get_context("spawn")
    barrier, queue = context.Barrier(processes), context.Queue()
    shares = [[str(plan) for plan in plans[number::processes]] for number in range(processes)]
    running = [context.Process(target=_work, args=(share, barrier, queue)) for share in shares]
    for process in running:
        process.start()
    times = [queue.get() for _ in running]
    for process in running:
        process.join()
    return 3600 * len(plans) / (max(end for _, end in times) - min(start for start, _ in times))


def main(
    plans: Annotated[int, typer.Option(help="Untuned plans measured by the packed worker and by the tree.")] = 256,
    few: Annotated[int, typer.Option(help="Plans measured by each of the slow ways.")] = 5,
    tuned: Annotated[int, typer.Option(help="Tuned plans; an even number.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the plans.")] = 0,
    once: Annotated[str, typer.Option(help="Evaluate one plan from pixels and stop.")] = "",
) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    if once:
        plain(Session(ModelSource(), DataSource()), Plan.parse(once))
        return
    worker = Worker()
    session = worker.load(request_of(Plan.dense(12)))
    print(heading("Engine, embedded model, one thread", plans=plans, few=few, tuned=tuned, seed=seed))
    chosen = children(plans, seed)
    untuned = [request_of(plan, RUNGS[:1]) for plan in chosen]
    worker.evaluate(untuned[:1])
    rates = {
        "naive": 3600 * few / sum(seconds_of(partial(naive, plan)) for plan in chosen[:few]),
        "plain": 3600 * few / sum(seconds_of(partial(plain, session, plan)) for plan in chosen[:few]),
        "packed": 3600 * plans / seconds_of(lambda: [worker.evaluate([request]) for request in untuned]),
        "tree": 3600 * plans / seconds_of(lambda: worker.evaluate(untuned)),
    }
    print("| untuned | plans per hour | times naive | times plain |\n|---|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:,.0f} | {rate / rates['naive']:.1f} | {rate / rates['plain']:.1f} |", flush=True)
    peak = matrix_rate()
    print(
        f"\nMatrix product: {peak / 1e9:.0f} GFLOP/s\n\n| rung of `{ARCHIVE[1]}` | seconds | inside the model", end=""
    )
    print(" | GFLOP/s | share of the product's |\n|---|---|---|---|---|")
    for number, row in enumerate(by_rung(worker, Plan.parse(ARCHIVE[1]))):
        print(f"| {number} | {row['seconds']:.2f} | {row['inside']:.0%} | {row['rate'] / 1e9:.1f}", end="")
        print(f" | {row['rate'] / peak:.0%} |", flush=True)
    one, two = (tuned_per_hour(chosen[:tuned], processes) for processes in (1, 2))
    print("\n| tuned | plans per hour | times one |\n|---|---|---|")
    print(f"| one worker | {one:,.0f} | 1.0 |\n| two workers | {two:,.0f} | {two / one:.2f} |")


if __name__ == "__main__":
    typer.run(main)
