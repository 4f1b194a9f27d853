"""Saves, reads and intersects mask files, without torch.

A mask file is a safetensors file. One tensor per linear layer holds the bits of its mask, packed into bytes, row by
row. The metadata has the shapes and roles of the layers, the numbers of remaining weights per block, and the origin of
the masks. The intersection over several tasks, which keeps the weights that all of them keep, is the alpha-SubNet of
arXiv 2410.09454.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from spaces.shape import Weights

KEY = "skipsearch_masks"
"""Key of the metadata in the safetensors file."""
VERSION = 1
"""Version of the metadata."""
Packed = NDArray[np.uint8]
"""Bits of a mask, packed into bytes."""


@dataclass(frozen=True)
class MaskFile:
    """The masks of all linear layers of a model's decoder blocks."""

    packed: Mapping[str, Packed]
    """Layer (`BLOCK.PATH`) -> bits of its mask, (outputs * inputs / 8,) rounded up; 1 for a kept weight."""
    shapes: Mapping[str, tuple[int, int]]
    """Layer -> (outputs, inputs)."""
    roles: Mapping[str, str]
    """Layer -> the field of `spaces.shape.Weights` that counts it."""
    sources: tuple[Mapping[str, Any], ...]
    """Origin of each intersected file: pruning, model, data set, kinds of questions, samples, fingerprints."""

    @classmethod
    def of(
        cls, masks: Mapping[str, NDArray[np.bool_]], roles: Mapping[str, str], source: Mapping[str, Any]
    ) -> MaskFile:
        """Return the mask file of boolean masks.

        Args:
            masks: layer -> (outputs, inputs), True for a kept weight.
            roles: layer -> field of `spaces.shape.Weights`.
            source: origin of the masks.
        """
        shapes = {name: (mask.shape[0], mask.shape[1]) for name, mask in masks.items()}
        return cls({name: np.packbits(mask) for name, mask in masks.items()}, shapes, roles, (source,))

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return the mask of a layer, (outputs, inputs), True for a kept weight."""
        shape = self.shapes[name]
        return np.unpackbits(self.packed[name], count=prod(shape)).reshape(shape).astype(bool)

    @property
    def sparsity(self) -> float:
        """Return the fraction of the weights that become zero."""
        return 1 - sum(map(_count, self.packed.values())) / sum(map(prod, self.shapes.values()))

    @property
    def weights(self) -> tuple[Weights, ...]:
        """Return the numbers of remaining weights per block."""
        blocks: dict[int, dict[str, int]] = {}
        for name, packed in self.packed.items():
            counts = blocks.setdefault(int(name.partition(".")[0]), dict.fromkeys(Weights._fields, 0))
            counts[self.roles[name]] += _count(packed)
        return tuple(Weights(**blocks[index]) for index in range(len(blocks)))

    def save(self, path: Path) -> None:
        """Write the file.

        Raises:
            ValueError: it cannot be written.
        """
        about = {"version": VERSION, "shapes": self.shapes, "roles": self.roles, "sources": self.sources}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(dict(self.packed), path, metadata={KEY: json.dumps({**about, "weights": self.weights})})
        except (OSError, SafetensorError) as error:
            raise ValueError(f"--to must be a file that can be written, got {path} ({error}): take another") from None


def read_masks(path: Path) -> MaskFile:
    """Return the masks of a file.

    Raises:
        ValueError: it is not a mask file of this version.
    """
    with _opened(path) as file:
        about = _about(path, file.metadata())
        packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is not a mapping
    shapes = {name: (rows, columns) for name, (rows, columns) in about["shapes"].items()}
    return MaskFile(packed, shapes, about["roles"], tuple(about["sources"]))


def read_weights(path: Path) -> tuple[Weights, ...]:
    """Return the numbers of remaining weights per block, reading only the metadata of a mask file.

    Raises:
        ValueError: it is not a mask file of this version.
    """
    with _opened(path) as file:
        return tuple(Weights(*counts) for counts in _about(path, file.metadata())["weights"])


def intersected(files: Sequence[MaskFile]) -> MaskFile:
    """Return masks that keep a weight if all files keep it.

    Args:
        files: at least one mask file.

    Raises:
        ValueError: the files are of different models.
    """
    first = files[0]
    for other in files[1:]:
        if other.shapes != first.shapes:
            raise ValueError(
                "masks must be of one model to be intersected, got files with other layers or shapes: make them again"
            )
    packed = {name: reduce(np.bitwise_and, (file.packed[name] for file in files)) for name in first.packed}
    return MaskFile(packed, first.shapes, first.roles, tuple(source for file in files for source in file.sources))


def _count(packed: Packed) -> int:
    return int(np.bitwise_count(packed).sum())


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="np")
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"masks must be a file that python -m workers.pruning wrote, got {path} ({reason}): make one"
        ) from None


def _about(path: Path, metadata: Mapping[str, str] | None) -> Any:
    about = json.loads((metadata or {}).get(KEY, "{}"))
    if about.get("version") != VERSION:
        raise ValueError(
            f"masks must be a file of version {VERSION} that python -m workers.pruning wrote, got {path}: make it again"
        )
    return about
