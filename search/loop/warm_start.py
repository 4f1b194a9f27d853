"""Warm starts: reads the plans of an earlier run, or a configuration of EvoPress or LLM-Drop.

A run is named by its folder or by the URL of its database; its task and model may differ, as long as the depth is the
same. EvoPress (arXiv 2410.14649) writes one line per layer with what is left out: none, attn, mlp or attn+mlp. LLM-Drop
(arXiv 2406.15786) stores `drop_attn_list` and `drop_mlp_list` in the config.json of the model.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from objectives.dominance import sort_fronts
from objectives.objectives import MAXIMIZE
from search.storage.find_run import open_results
from search.storage.results import Results
from search.strategies.strategy import Task
from spaces.plan import Op, Plan

SHARE = 0.1
"""Maximum fraction of the budget for warm starts; at least one is tried in any case."""
_LEFT_OUT = {"none": Op.KEEP, "attn": Op.SKIP_ATTN, "mlp": Op.SKIP_FFN, "attn+mlp": Op.SKIP_BLOCK}


class WarmStartError(ValueError):
    """A warm start that can't be used. The message is one line for the user."""


def warm_start(sources: Sequence[str], task: Task) -> tuple[tuple[str, Plan], ...]:
    """Return (origin, plan) of the warm starts: the best plans of the sources that lie in the space and the limits.

    Args:
        sources: folders or database URLs of runs, or files of EvoPress or LLM-Drop.
        task: the space, the limits, and the budget, which bounds the number of warm starts.

    Raises:
        WarmStartError: a source can't be read, has plans of another depth, or has no plan in the space and the limits.
        StorageError: the database of a source can't be used.
    """
    found: dict[Plan, str] = {}
    for source in sources:
        plans = _read(source, task.space.num_blocks)
        fits = [plan for plan in plans if plan in task.space and task.feasible(plan) and not plan.is_dense]
        if not fits:
            raise WarmStartError(
                f"--warm-start must have a plan of space '{task.space.name}' within the limits, got {len(plans)} plans "
                f"in {source}, none of which is: choose another --space or source"
            )
        for plan in fits:
            found.setdefault(plan, f"warm start from {Path(source).name}")
    room = max(1, int(task.budget * SHARE))
    return tuple((origin, plan) for plan, origin in list(found.items())[:room])


def _read(source: str, num_blocks: int) -> list[Plan]:
    """Return all plans of a source, best first."""
    path = Path(source)
    if path.is_file():
        plans = [_read_configuration(path)]
    elif path.is_dir() or "://" in source:
        plans = _read_run(open_results(path, None) if path.is_dir() else Results.open(source))
    else:
        raise WarmStartError(
            f"--warm-start must be the folder of a run, the URL of its database, or a file with one line per layer, "
            f"got {source!r}, which does not exist: check the path"
        )
    if wrong := [plan for plan in plans if len(plan) != num_blocks]:
        raise WarmStartError(
            f"--warm-start must have plans of {num_blocks} blocks, the depth of the model, got {len(wrong[0])} in "
            f"{source}: choose a run or a configuration of a model of that depth"
        )
    return plans


def _read_run(results: Results) -> list[Plan]:
    """Return the plans of the complete trials of a run, front by front; the first few of each front are far apart."""
    try:
        records = [r for r in results.records() if r.trial.state == "complete" and r.on("search")]
    finally:
        results.close()
    if not records:
        return []
    points = np.array([(record.on("search")[-1].accuracy, record.on("search")[-1].flops_ratio) for record in records])
    ranks = sort_fronts(points, MAXIMIZE)
    order: list[int] = []
    for rank in range(ranks.max() + 1):
        front = np.flatnonzero(ranks == rank)
        order += _spread(front[np.argsort(points[front, 1])].tolist())
    return [records[row].plan for row in order]


def _spread(rows: list[int]) -> list[int]:
    """Return the same rows in bisection order (the middle first), so that the first few are far apart."""
    spread, runs = [], [rows]
    while runs:
        spread += [run[len(run) // 2] for run in runs]
        runs = [part for run in runs for part in (run[: len(run) // 2], run[len(run) // 2 + 1 :]) if part]
    return spread


def _read_configuration(path: Path) -> Plan:
    """Return the plan of an EvoPress or LLM-Drop file."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise WarmStartError(
            f"--warm-start must be a text file with one line per layer, a config.json, or the folder of a run, "
            f"got {path}: name a database by its URL, sqlite:///FILE"
        ) from None
    if path.suffix == ".json":
        return _read_llm_drop(path, text)
    lines = [line.strip().lower() for line in text.splitlines() if line.strip()]
    if not lines or (wrong := [line for line in lines if line not in _LEFT_OUT]):
        got = repr(wrong[0]) if lines else "an empty file"
        raise WarmStartError(
            f"--warm-start: every line of {path} must be one of {', '.join(_LEFT_OUT)}, got {got}: correct the file"
        )
    return Plan.of(_LEFT_OUT[line] for line in lines)


def _read_llm_drop(path: Path, text: str) -> Plan:
    try:
        config = json.loads(text)
        num_blocks = int(config["num_hidden_layers"])
        attention, ffn = (_dropped(config[name], num_blocks) for name in ("drop_attn_list", "drop_mlp_list"))
    except (ValueError, KeyError, TypeError, IndexError):
        raise WarmStartError(
            f"--warm-start: {path} must be a config.json of LLM-Drop with num_hidden_layers, drop_attn_list and "
            "drop_mlp_list (layer numbers, or one true or false per layer): name one, or a file with one line per layer"
        ) from None
    ops = {
        (False, False): Op.KEEP,
        (True, False): Op.SKIP_ATTN,
        (False, True): Op.SKIP_FFN,
        (True, True): Op.SKIP_BLOCK,
    }
    return Plan.of(ops[no_attention, no_ffn] for no_attention, no_ffn in zip(attention, ffn, strict=True))


def _dropped(listed: list[Any], num_blocks: int) -> list[bool]:
    """Return, per layer, True if it is in an LLM-Drop list, which holds layer numbers or one bool per layer."""
    if len(listed) == num_blocks and all(isinstance(item, bool) for item in listed):
        return list(listed)
    numbers = {int(item) for item in listed}
    if not numbers <= set(range(num_blocks)):
        raise ValueError("a layer number beyond the last layer")
    return [index in numbers for index in range(num_blocks)]
