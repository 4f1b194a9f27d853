"""Draws questions about a scene, with one function per kind; answers are balanced, so that guessing has no advantage.

The kinds differ in the number of cells that an answer depends on. Naming the content of a cell takes one look-up;
finding the cell with a digit and naming its color takes two. Counting and comparing combine several cells. The answer
to `read_row` has four tokens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.embedded.digits import CELLS, COLORS, Scene

Question = tuple[str, str]
"""The question and its answer."""


def digit_at(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the digit in a random cell."""
    cell = rng.integers(len(CELLS))
    return f"Which digit is {CELLS[cell]}?", str(scene.digits[cell])


def color_at(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the color of a random cell."""
    cell = rng.integers(len(CELLS))
    return f"Which color is {CELLS[cell]}?", scene.colors[cell]


def color_of(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the color of a digit that occurs once."""
    cell = rng.choice(_unique_cells(scene))
    return f"Which color is the {scene.digits[cell]}?", scene.colors[cell]


def where_is(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the cell of a digit that occurs once."""
    cell = rng.choice(_unique_cells(scene))
    return f"Where is the {scene.digits[cell]}?", CELLS[cell]


def count_color(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the number of digits of a color; the count is drawn first, then a color with that count."""
    counts = {color: scene.colors.count(color) for color in COLORS}
    target = rng.choice(sorted(set(counts.values())))
    color = rng.choice([color for color, count in counts.items() if count == target])
    return f"How many digits are {color}?", str(counts[color])


def is_there(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a yes-no question on whether a digit occurs; both answers are equally likely."""
    present = bool(rng.integers(2))
    digit = rng.choice([digit for digit in range(10) if (digit in scene.digits) == present])
    return f"Is there a {digit}?", "yes" if present else "no"


def larger(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for the larger digit of two cells."""
    one, two = rng.permutation(len(CELLS))[:2]
    return f"Which digit is larger, {CELLS[one]} or {CELLS[two]}?", str(max(scene.digits[one], scene.digits[two]))


def read_row(scene: Scene, rng: np.random.Generator) -> Question:
    """Return a question for colors and digits of a row."""
    row = rng.integers(2)
    cells = (2 * row, 2 * row + 1)
    answer = " ".join(f"{scene.colors[cell]} {scene.digits[cell]}" for cell in cells)
    return f"What is in the {('top', 'bottom')[row]} row?", answer


KINDS: dict[str, Callable[[Scene, np.random.Generator], Question]] = {
    ask.__name__: ask for ask in (digit_at, color_at, color_of, where_is, count_color, is_there, larger, read_row)
}


def _unique_cells(scene: Scene) -> list[int]:
    return [cell for cell, digit in enumerate(scene.digits) if scene.digits.count(digit) == 1]
