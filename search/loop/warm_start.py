"""Plans from outside that a search tries first: an earlier run's, or a configuration of EvoPress or LLM-Drop.

A run is named by its folder or its database's URL; another task or another model as deep will do. EvoPress (arXiv
2410.14649) writes a line a layer with what is left out: none, attn, mlp or attn+mlp. LLM-Drop (arXiv 2406.15786) keeps
`drop_attn_list` and `drop_mlp_list` in the model's config.json.
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
"""At most this share of the budget goes to plans from outside, but one that is named is tried in any case."""
_LEFT_OUT = {"none": Op.KEEP, "attn": Op.SKIP_ATTN, "mlp": Op.SKIP_FFN, "attn+mlp": Op.SKIP_BLOCK}


class WarmStartError(ValueError):
    """A warm start that can't be used: one line for the user."""


def warm_start(sources: Sequence[str], task: Task) -> tuple[tuple[str, Plan], ...]:
    """(origin, plan) of what is tried first: of all plans in these sources that lie in the space and keep the limits,
    the best ones, as many as the share of the budget allows.

    Raises:
        WarmStartError, StorageError: a source that can't be read, holds plans of another depth, or none that fit.
    """
    found: dict[Plan, str] = {}
    for source in sources:
        plans = _read(source, task.space.num_blocks)
        fits = [plan for plan in plans if plan in task.space and task.feasible(plan) and not plan.is_dense]
        if not fits:
            raise WarmStartError(
                f"--warm-start must hold a plan of space '{task.space.name}' within the limits, got {len(plans)} in "
                f"{source} and none that fits: take another --space or source"
            )
        for plan in fits:
            found.setdefault(plan, f"warm start from {Path(source).name}")
    room = max(1, int(task.budget * SHARE))
    return tuple((origin, plan) for plan, origin in list(found.items())[:room])


def _read(source: str, num_blocks: int) -> list[Plan]:
    """Return all plans of a source, the best first."""
    path = Path(source)
    if path.is_file():
        plans = [_read_configuration(path)]
    elif path.is_dir() or "://" in source:
        plans = _read_run(open_results(path, None) if path.is_dir() else Results.open(source))
    else:
        raise WarmStartError(
            f"--warm-start must be the folder of a run, the URL of its database, or a file with a line a layer, "
            f"got {source!r}, which is not there"
        )
    if wrong := [plan for plan in plans if len(plan) != num_blocks]:
        raise WarmStartError(
            f"--warm-start must hold plans of {num_blocks} blocks, as deep as the model, got {len(wrong[0])} in "
            f"{source}: take a run or a configuration of a model as deep"
        )
    return plans


def _read_run(results: Results) -> list[Plan]:
    """Return the complete trials of a run, front after front, each front spread over its FLOPs from the start."""
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
    """The same rows, the middle first, then the middles of both halves, and so on: any first few are far apart."""
    spread, runs = [], [rows]
    while runs:
        spread += [run[len(run) // 2] for run in runs]
        runs = [half for run in runs for half in (run[: len(run) // 2], run[len(run) // 2 + 1 :]) if half]
    return spread


def _read_configuration(path: Path) -> Plan:
    """Return the plan of an EvoPress or LLM-Drop file."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        raise WarmStartError(
            f"--warm-start must be a text file with a line a layer, a config.json, or the folder of a run, got {path}: "
            "give a database by its URL, as sqlite:///FILE"
        ) from None
    if path.suffix == ".json":
        return _read_llm_drop(path, text)
    lines = [line.strip().lower() for line in text.splitlines() if line.strip()]
    if not lines or (wrong := [line for line in lines if line not in _LEFT_OUT]):
        got = repr(wrong[0]) if lines else "an empty file"
        raise WarmStartError(f"--warm-start: every line of {path} must be one of {', '.join(_LEFT_OUT)}, got {got}")
    return Plan.of(_LEFT_OUT[line] for line in lines)


def _read_llm_drop(path: Path, text: str) -> Plan:
    try:
        config = json.loads(text)
        num_blocks = int(config["num_hidden_layers"])
        attention, ffn = (_dropped(config[name], num_blocks) for name in ("drop_attn_list", "drop_mlp_list"))
    except (ValueError, KeyError, TypeError, IndexError):
        raise WarmStartError(
            f"--warm-start: {path} must be a config.json of LLM-Drop with num_hidden_layers, drop_attn_list and "
            "drop_mlp_list (numbers of layers, or true and false a layer): give one, or a file with a line a layer"
        ) from None
    ops = {
        (False, False): Op.KEEP,
        (True, False): Op.SKIP_ATTN,
        (False, True): Op.SKIP_FFN,
        (True, True): Op.SKIP_BLOCK,
    }
    return Plan.of(ops[no_attention, no_ffn] for no_attention, no_ffn in zip(attention, ffn, strict=True))


def _dropped(listed: list[Any], num_blocks: int) -> list[bool]:
    """Return True if each layer is in an LLM-Drop list: of layer numbers, or of one bool a layer."""
    if len(listed) == num_blocks and all(isinstance(item, bool) for item in listed):
        return list(listed)
    numbers = {int(item) for item in listed}
    if not numbers <= set(range(num_blocks)):
        raise ValueError("a layer that is not there")
    return [index in numbers for index in range(num_blocks)]
