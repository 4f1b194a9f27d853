"""Measures the latency of a plan and of the dense model in turns, for one workload."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from time import perf_counter

from objectives.latency import Seconds
from objectives.workload import Workload
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.evaluation.timed_passes import TimedPasses
from workers.session import Session

WARM_UP = 3
"""Number of turns before timing."""
REPEATS = 15
"""Maximum number of timed turns of each of the two."""
FEWEST = 5
"""Minimum number of timed turns."""
MAX_SECONDS = 15.0
"""Seconds after which no further turn starts, once there are enough."""


def time_against_dense(session: Session, plan: Plan, workload: Workload) -> dict[str, float]:
    """Return the latency of a plan and its speed-up over the dense model.

    The prefill runs mapping module, decoder and LM head from cached vision outputs to the first token. A decode step
    computes one further token with the KV cache. Plan and dense model take turns; a speed-up is the ratio of two
    neighbouring turns, vision tower included. The device is synchronized before and after each pass.

    Args:
        session: the loaded model and data, with no plan applied.
        plan: the plan.
        workload: tokens per request, and the number of requests that run together.

    Returns:
        Seconds: `prefill_median`, `prefill_iqr`, `decode_median`, `decode_iqr` (one step), `total_median`, `total_iqr`
        (the workload, from the images to the last token), the same of the dense model with the prefix `dense_`, and
        `vision`. Ratios: `speedup_low`, `speedup_median`, `speedup_high`, the quartiles over the turns.
    """
    passes = TimedPasses(session.loaded, session.samples("search"), workload)
    plans = [plan, Plan.dense(len(plan))]
    turns: list[tuple[Seconds, Seconds]] = []
    start = perf_counter()
    for number in range(WARM_UP + REPEATS):
        if len(turns) >= FEWEST and perf_counter() - start > MAX_SECONDS:
            break
        order = (0, 1) if number % 2 else (1, 0)
        times = {index: _turn(session, passes, plans[index]) for index in order}
        if number >= WARM_UP:
            turns.append((times[0], times[1]))
    vision = passes.vision(len(turns))
    totals = [(passes.total(mine, vision), passes.total(dense, vision)) for mine, dense in turns]
    low, middle, high = quantiles([dense / mine for mine, dense in totals], n=4)
    return {
        **_described("", [mine for mine, _ in turns], [mine for mine, _ in totals]),
        **_described("dense_", [dense for _, dense in turns], [dense for _, dense in totals]),
        "vision": vision,
        "speedup_low": low,
        "speedup_median": middle,
        "speedup_high": high,
    }


def _turn(session: Session, passes: TimedPasses, plan: Plan) -> Seconds:
    with apply_plan(session.loaded.model, plan, session.pruning_inputs):
        return passes.turn()


def _described(prefix: str, turns: Sequence[Seconds], totals: Sequence[float]) -> dict[str, float]:
    measured = {
        "prefill": [each.prefill for each in turns],
        "decode": [each.decode for each in turns],
        "total": totals,
    }
    found: dict[str, float] = {}
    for name, values in measured.items():
        low, _, high = quantiles(values, n=4)
        found |= {f"{prefix}{name}_median": median(values), f"{prefix}{name}_iqr": high - low}
    return found
