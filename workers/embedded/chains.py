"""Draws questions that need several dependent steps, whose answers write the steps out. An addition to `questions`.

Sums are written as on a pocket calculator ("3 + 5 = 8 + 2 = 10"): every running sum is needed for the next one. Walks
follow a pointer: the digit of a cell tells which cell comes next. A comparison needs two sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from workers.embedded.digits import CELLS, Scene
from workers.embedded.questions import Question, digit_at

CHAIN_WORDS = ("+", "=", "and", "so", "equal", "has", "sum", "go", "step", "steps", "from", *map(str, range(10, 37)))
"""Words of these questions and answers that the embedded model's vocabulary lacks, in the order of their token ids."""


def add(scene: Scene, rng: np.random.Generator, cells: int) -> Question:
    """Return a question for the sum of the digits of random cells.

    Args:
        scene: the scene.
        rng: source of all random choices.
        cells: number of cells to add, 2 to 4; one running sum fewer.
    """
    chosen = rng.permutation(len(CELLS))[:cells]
    return f"What is {' + '.join(CELLS[cell] for cell in chosen)}?", sums([scene.digits[cell] for cell in chosen])


def compare_rows(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the row with the larger sum of digits: two sums and a comparison."""
    top, bottom = scene.digits[:2], scene.digits[2:]
    larger = "equal" if sum(top) == sum(bottom) else "top" if sum(top) > sum(bottom) else "bottom"
    return "Which row has the larger sum?", f"{sums(top)} and {sums(bottom)} so {larger}"


def follow(scene: Scene, rng: np.random.Generator, steps: int) -> Question:
    """Return a question for a walk over cells: from an even digit along the row, from an odd one along the column.

    Args:
        scene: the scene.
        rng: source of all random choices.
        steps: number of steps.
    """
    cell = first = int(rng.integers(len(CELLS)))
    visited: list[str] = []
    for _ in range(steps):
        digit = scene.digits[cell]
        cell ^= 2 if digit % 2 else 1
        visited += [str(digit), CELLS[cell]]
    return f"Go {steps} step{'s' * (steps > 1)} from {CELLS[first]}", " ".join(visited)


def sums(digits: Sequence[int]) -> str:
    """Return the running sums of two or more digits, such as "3 + 5 = 8 + 2 = 10"."""
    text = str(digits[0])
    for count, digit in enumerate(digits[1:], start=2):
        text += f" + {digit} = {sum(digits[:count])}"
    return text


CHAINS: dict[str, Callable[[Scene, np.random.Generator], Question]] = {
    "digit_at": digit_at,
    **{f"add_{cells}": partial(add, cells=cells) for cells in (2, 3, 4)},
    "compare_rows": compare_rows,
    **{f"follow_{steps}": partial(follow, steps=steps) for steps in (1, 2, 3)},
}
"""Kind -> function of a scene."""
STEPS = {"digit_at": 0, "add_2": 1, "add_3": 2, "add_4": 3, "compare_rows": 3, "follow_1": 1, "follow_2": 2,
         "follow_3": 3}  # fmt: skip
"""Kind -> length of its chain: the number of sums, comparisons or moves."""
