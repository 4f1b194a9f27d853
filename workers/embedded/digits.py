"""Draws the images of the embedded data set: four colored handwritten digits in a 2 x 2 grid.

The digits come from scikit-learn's `load_digits` (1,797 gray images of 8 x 8 pixels). Each of these images is used in
one split only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.sources import Split

CELLS = ("top-left", "top-right", "bottom-left", "bottom-right")
"""The cells of an image, row by row."""
CELL_SIZE = 16
"""Height and width of a cell in pixels."""
IMAGE_SIZE = 2 * CELL_SIZE
"""Height and width of an image in pixels."""
COLORS = {
    "red": (230, 40, 40),
    "green": (40, 200, 60),
    "blue": (60, 90, 245),
    "yellow": (235, 215, 45),
    "purple": (190, 60, 215),
    "white": (235, 235, 235),
}
DIGITS = "datasets/data/digits.csv.gz"
"""File of scikit-learn: per digit 64 gray values from 0 to 16, and the label."""
SPLIT_SIZES: dict[Split, int] = {"train": 1117, "tune": 120, "search": 260, "test": 300}
"""Number of digit images per split."""
GLYPH_SCALE = 1.75
"""Factor by which digits are enlarged: 8 x 8 pixels become 14 x 14."""


@dataclass(frozen=True)
class Scene:
    """The content of an image, cell by cell in the order of `CELLS`."""

    digits: tuple[int, ...]
    colors: tuple[str, ...]
    glyphs: tuple[int, ...]
    """Rows of `load_digits` to draw."""


@cache
def handwriting() -> tuple[np.ndarray, np.ndarray]:
    """Return the ink, (1797, 8, 8) float32 in [0, 1], and the labels, (1797,) int64."""
    # Only the file that `load_digits` reads, since scikit-learn takes one to two seconds to import.
    package = find_spec("sklearn")
    assert package is not None and package.submodule_search_locations is not None  # a dependency of this package
    table = np.loadtxt(Path(package.submodule_search_locations[0]) / DIGITS, delimiter=",", dtype=np.int64)
    return (table[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32), table[:, -1]


@cache
def split_rows(split: Split) -> np.ndarray:
    """Return the rows of `load_digits` that belong to a split, ascending; they are always the same."""
    order = np.random.default_rng(0).permutation(sum(SPLIT_SIZES.values()))
    names = list(SPLIT_SIZES)
    bounds = np.cumsum(list(SPLIT_SIZES.values()))[:-1]
    return np.sort(np.split(order, bounds)[names.index(split)])


@cache
def _rows_by_digit(split: Split) -> tuple[np.ndarray, ...]:
    rows = split_rows(split)
    return tuple(rows[handwriting()[1][rows] == digit] for digit in range(10))


def draw_scene(split: Split, rng: np.random.Generator) -> Scene:
    """Return a random scene with at least one digit that appears once.

    Colors come from a palette of two to four, so that every count from 0 to 3 is common.
    """
    digits = rng.integers(0, 10, len(CELLS))
    while all((digits == digit).sum() != 1 for digit in digits):
        digits = rng.integers(0, 10, len(CELLS))
    palette = rng.permutation(list(COLORS))[: rng.integers(2, 5)]
    return Scene(
        digits=tuple(int(digit) for digit in digits),
        colors=tuple(str(color) for color in rng.choice(palette, len(CELLS))),
        glyphs=tuple(int(rng.choice(_rows_by_digit(split)[digit])) for digit in digits),
    )


def render(scenes: Sequence[Scene], rng: np.random.Generator, augment: bool = False) -> np.ndarray:
    """Return images, (N, 32, 32, 3) uint8.

    Args:
        scenes: the scenes to draw.
        rng: source of shifts, noise and augmentation.
        augment: True to add random rotation, scale, shear, brightness and stronger noise.
    """
    ink = handwriting()[0][[glyph for scene in scenes for glyph in scene.glyphs]]
    shade = np.array([COLORS[color] for scene in scenes for color in scene.colors], dtype=np.float32) / 255
    gray = _warp(ink, *_placements(len(ink), rng, augment))
    if augment:
        gray = np.clip(gray * rng.uniform(0.75, 1.25, (len(gray), 1, 1)), 0, 1)
    cells = gray[..., None] * shade[:, None, None, :]
    cells += rng.normal(0, 0.06 if augment else 0.02, cells.shape)
    grid = cells.reshape(-1, 2, 2, CELL_SIZE, CELL_SIZE, 3).transpose(0, 1, 3, 2, 4, 5)
    pixels = np.clip(grid.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3), 0, 1)
    return (pixels * 255).round().astype(np.uint8)


def _placements(count: int, rng: np.random.Generator, augment: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return per glyph a matrix (N, 2, 2) from cell to glyph pixels and a shift (N, 2) in cell pixels."""
    shift = rng.uniform(-1.0, 1.0, (count, 2))
    if not augment:
        return np.broadcast_to(np.eye(2) / GLYPH_SCALE, (count, 2, 2)), shift
    angle, shear = rng.uniform(-0.25, 0.25, count), rng.uniform(-0.2, 0.2, count)
    scale = GLYPH_SCALE * rng.uniform(0.85, 1.12, (count, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([shear - sin, cos], -1)], -2)
    return turn / scale[:, :, None], shift * 1.5


def _warp(ink: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return (N, 8, 8) glyphs sampled bilinearly on the cell grid, (N, 16, 16)."""
    center = (CELL_SIZE - 1) / 2
    axis = np.arange(CELL_SIZE) - center
    cell = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2) - shift[:, None, :]
    where = np.einsum("npk,njk->npj", cell, matrix) + (ink.shape[1] - 1) / 2
    padded = np.pad(ink, ((0, 0), (2, 2), (2, 2)))
    where = np.clip(where + 2, 0, padded.shape[1] - 1.001)
    low = where.astype(int)
    part, glyph = where - low, np.arange(len(ink))[:, None]
    (y, x), (fy, fx) = np.moveaxis(low, -1, 0), np.moveaxis(part, -1, 0)
    upper = padded[glyph, y, x] * (1 - fx) + padded[glyph, y, x + 1] * fx
    lower = padded[glyph, y + 1, x] * (1 - fx) + padded[glyph, y + 1, x + 1] * fx
    placed: NDArray[np.float64] = (upper * (1 - fy) + lower * fy).reshape(-1, CELL_SIZE, CELL_SIZE)
    return placed
