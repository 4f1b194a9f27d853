"""Writes the plans of finding 2 for SmolLM2: `python -m benchmarks.paper.equal_flops --to plans.txt`.

At 4, 7, 10 and 14 of 30 blocks: the source paper's interval rule, the first blocks, and the best plan of a table of
`search` with at most the FLOPs of the interval rule. The file is read by `python -m benchmarks.paper.trained`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.models import STORE
from spaces.patterns import pattern
from spaces.plan import Plan

NUM_BLOCKS = 30
INTERVALS = {4: "interval-7@0", 7: "interval-4@0", 10: "interval-2@9", 14: "interval-2@0"}
"""Number of skipped blocks -> pattern of the interval rule that skips as many."""


def plans(table: Mapping[str, Any], num_blocks: int = NUM_BLOCKS) -> Iterator[tuple[str, Plan]]:
    """Yield names and plans, dense first.

    Args:
        table: `plans`, `costs` (FLOPs relative to dense), `scores` and `margins`, one row per plan.
        num_blocks: blocks of the model.

    Raises:
        ValueError: the table has no plan that skips at least as many FLOPs as the interval rule.
    """
    block = max(cost for text, cost in zip(table["plans"], table["costs"], strict=True) if text.count("b") == 1)
    yield "dense", Plan.dense(num_blocks)
    for skipped, name in INTERVALS.items():
        yield name, pattern(name, num_blocks)
        yield f"first-{num_blocks - skipped}", pattern(f"first-{num_blocks - skipped}", num_blocks)
        yield f"searched-{skipped}", best_below(table, 1 - skipped * (1 - block))


def best_below(table: Mapping[str, Any], most: float) -> Plan:
    """Return the plan of a table with the best accuracy, then mean margin, at a cost of at most `most`.

    Raises:
        ValueError: there is none.
    """
    fits = [row for row, cost in enumerate(table["costs"]) if cost <= most + 1e-9]
    if not fits:
        raise ValueError(
            f"a table must have plans of at most {most:.3f} of the FLOPs, got {min(table['costs']):.3f} as the lowest: "
            "make it with python -m benchmarks.paper.one_shot, or of searches with benchmarks.paper.landscape"
        )
    scores, margins = np.asarray(table["scores"]), np.asarray(table["margins"])
    final = scores if scores.ndim == 1 else np.nan_to_num(scores[:, -1], nan=-1.0)
    best = max(fits, key=lambda row: (float(final[row]), float(margins[row].mean())))
    return Plan.parse(str(table["plans"][best]))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=STORE / "smollm2.npz")
    parser.add_argument("--to", type=Path, required=True)
    arguments = parser.parse_args()
    with np.load(arguments.table) as table:
        lines = [f"{name} {plan}" for name, plan in plans(table)]
    arguments.to.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
