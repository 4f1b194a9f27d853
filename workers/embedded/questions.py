"""Questions about a scene, one function a kind; each draws its answer evenly so that guessing does not pay.

The kinds differ in how many look-ups an answer takes: reading a cell is one, finding the cell that holds a
digit and reading its color is two, counting and comparing combine several cells, a row is read out in four
tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.embedded.digits import CELLS, COLORS, Scene

Question = tuple[str, str]
"""The question and its answer."""


def digit_at(scene: Scene, rng: np.random.Generator) -> Question:
    cell = rng.integers(len(CELLS))
    return f"Which digit is {CELLS[cell]}?", str(scene.digits[cell])


def color_at(scene: Scene, rng: np.random.Generator) -> Question:
    cell = rng.integers(len(CELLS))
    return f"Which color is {CELLS[cell]}?", scene.colors[cell]


def color_of(scene: Scene, rng: np.random.Generator) -> Question:
    cell = rng.choice(_unique_cells(scene))
    return f"Which color is the {scene.digits[cell]}?", scene.colors[cell]


def where_is(scene: Scene, rng: np.random.Generator) -> Question:
    cell = rng.choice(_unique_cells(scene))
    return f"Where is the {scene.digits[cell]}?", CELLS[cell]


def count_color(scene: Scene, rng: np.random.Generator) -> Question:
    """The count is drawn first, evenly among those the scene offers; then a color with that count."""
    counts = {color: scene.colors.count(color) for color in COLORS}
    target = rng.choice(sorted(set(counts.values())))
    color = rng.choice([color for color, count in counts.items() if count == target])
    return f"How many digits are {color}?", str(counts[color])


def is_there(scene: Scene, rng: np.random.Generator) -> Question:
    present = bool(rng.integers(2))
    digit = rng.choice([digit for digit in range(10) if (digit in scene.digits) == present])
    return f"Is there a {digit}?", "yes" if present else "no"


def larger(scene: Scene, rng: np.random.Generator) -> Question:
    one, two = rng.permutation(len(CELLS))[:2]
    return f"Which digit is larger, {CELLS[one]} or {CELLS[two]}?", str(max(scene.digits[one], scene.digits[two]))


def read_row(scene: Scene, rng: np.random.Generator) -> Question:
    row = rng.integers(2)
    cells = (2 * row, 2 * row + 1)
    answer = " ".join(f"{scene.colors[cell]} {scene.digits[cell]}" for cell in cells)
    return f"What is in the {('top', 'bottom')[row]} row?", answer


KINDS: dict[str, Callable[[Scene, np.random.Generator], Question]] = {
    ask.__name__: ask for ask in (digit_at, color_at, color_of, where_is, count_color, is_there, larger, read_row)
}


def _unique_cells(scene: Scene) -> list[int]:
    return [cell for cell, digit in enumerate(scene.digits) if scene.digits.count(digit) == 1]
