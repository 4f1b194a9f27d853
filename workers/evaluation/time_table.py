"""Measures the table from which latencies are predicted: the times of the dense model and of every op of a space.

An op is measured on the real blocks with its own patches: all blocks of one kind get it, and the difference to the
dense model is divided by their number. What lies around the blocks is part of the dense times.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import numpy as np
import torch

from objectives.latency import LatencyError, Place, Seconds, TimeTable, check_times
from spaces.plan import Block, Op, Plan
from workers.apply_plan import apply_plan
from workers.evaluation.timed_passes import TimedPasses
from workers.origin import name_of
from workers.requests import TrialRequest
from workers.session import Session
from workers.software import commit, versions

ROUNDS = 25
"""Maximum number of rounds; in each, every plan is timed once, in random order."""
FEWEST_ROUNDS = 7
"""Minimum number of rounds."""
MAX_SECONDS = 120.0
"""Seconds after which no further round starts, once there are enough."""
WARM_UP = 2
"""Number of rounds before timing."""
_PAIRED = Block(Op.PAIRED)


def measure_times(session: Session, request: TrialRequest, choices: Sequence[Sequence[Block]]) -> TimeTable:
    """Return the times of the dense model and of all ops.

    Args:
        session: the loaded model and data, with no plan applied.
        request: gives workload, seed and threads.
        choices: per block of the model, its possible blocks in a plan.

    Raises:
        LatencyError: the workload can't run, or a time can't be measured.
    """
    workload = session.workload(request)
    kinds = _numbered(session.shape.block_kinds)
    probes = dict(_probes(kinds, choices))
    if any(plan.is_calibrated for plan, _ in probes.values()):
        session.calibrate()
    try:
        passes = TimedPasses(session.loaded, session.samples("search"), workload)
        plans = [Plan.dense(len(kinds)), *(plan for plan, _ in probes.values())]
        found, rounds = _rounds(session, passes, plans, request.seed)
        vision = passes.vision(rounds)
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise LatencyError(
            f"the workload of --workload must run on the device, got {reason}: take a smaller one"
        ) from None
    dense = Seconds(median(each.prefill for each in found[0]), median(each.decode for each in found[0]))
    changes = {
        place: _difference(times, found[0], count)
        for (place, (_, count)), times in zip(probes.items(), found[1:], strict=True)
    }
    table = TimeTable(workload, vision, dense, kinds, changes, _origin(session, request, passes, found[0]))
    check_times(table)
    return table


def _numbered(kinds: Sequence[Any]) -> tuple[int, ...]:
    known = list(dict.fromkeys(kinds))
    return tuple(known.index(kind) for kind in kinds)


def _probes(
    kinds: Sequence[int], choices: Sequence[Sequence[Block]]
) -> Iterator[tuple[tuple[Place, Block], tuple[Plan, int]]]:
    """Yield (place, block) with a plan that has this block wherever it can, and the number of these places."""
    wanted: dict[tuple[Place, Block], list[int]] = {}
    for index, levels in enumerate(choices):
        kept = (Block(pruning=level.pruning) for level in levels if level.op is not Op.PAIR)
        for level in dict.fromkeys((*levels, *kept)):
            if level == Block():
                continue
            place = tuple(kinds[index : index + 1 + (level.op is Op.PAIR)])
            wanted.setdefault((place, level), []).append(index)
    for (place, level), indices in wanted.items():
        blocks = [Block()] * len(kinds)
        count = 0
        for index in indices:
            if blocks[index] == Block():
                blocks[index : index + len(place)] = [level, _PAIRED][: len(place)]
                count += 1
        yield (place, level), (Plan(tuple(blocks)), count)


def _rounds(session: Session, passes: TimedPasses, plans: Sequence[Plan], seed: int) -> tuple[list[list[Seconds]], int]:
    """Return the times of every plan, one per round, and the number of rounds."""
    found: list[list[Seconds]] = [[] for _ in plans]
    generator = np.random.default_rng(seed)
    start = perf_counter()
    for number in range(WARM_UP + ROUNDS):
        done = number - WARM_UP
        if done >= FEWEST_ROUNDS and perf_counter() - start > MAX_SECONDS:
            break
        for index in generator.permutation(len(plans)):
            with apply_plan(session.loaded.model, plans[index], session.pruning_inputs):
                seconds = passes.turn()
            if done >= 0:
                found[index].append(seconds)
    return found, len(found[0])


def _difference(times: Sequence[Seconds], dense: Sequence[Seconds], count: int) -> Seconds:
    """Return the median difference to the dense model in the same round, per changed place."""
    pairs = list(zip(times, dense, strict=True))
    return Seconds(
        median(mine.prefill - other.prefill for mine, other in pairs) / count,
        median(mine.decode - other.decode for mine, other in pairs) / count,
    )


def _origin(session: Session, request: TrialRequest, passes: TimedPasses, dense: Sequence[Seconds]) -> dict[str, Any]:
    spreads = {name: quantiles([getattr(each, name) for each in dense], n=4) for name in ("prefill", "decode")}
    return {
        **device_of(session, request),
        "prompt_tokens": passes.prompt_tokens,
        "timed_steps": passes.steps,
        "rounds": len(dense),
        **{f"dense_{name}_iqr": high - low for name, (low, _, high) in spreads.items()},
        "versions": versions(),
        "commit": commit(),
    }


def device_of(session: Session, request: TrialRequest) -> dict[str, Any]:
    """Return what latencies depend on besides model and workload: device, processor and threads."""
    return {
        "device": name_of(session.loaded.device),
        "processor": _processor(),
        "threads": request.threads or torch.get_num_threads(),
    }


def _processor() -> str:
    """Return the model name of the CPU, or its architecture if the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
