"""Computes short hashes that identify the model and data of a result. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workers.data.load_split import load_samples
from workers.models.model_files import locate, weight_files
from workers.sources import DataSource, ModelSource, Split

if TYPE_CHECKING:
    from workers.data.sample import Sample

HASHED_BYTES = 256 * 2**20
"""Maximum size in bytes of a weight file that is hashed; larger ones are identified by size and modification time."""


def fingerprint(model: ModelSource, data: DataSource) -> dict[str, str]:
    """Return one hash of the model and one of the data of the splits train, tune and search."""
    splits: tuple[Split, ...] = ("search", "tune", "train")
    seen = [sample for split in splits for sample in load_samples(data, split)]
    return {"model": fingerprint_model(model), "data": fingerprint_samples(seen)}


def fingerprint_model(source: ModelSource) -> str:
    """Return a hash of config, weights and masks of a model; for a hub id, of its config and commit."""
    digest = hashlib.sha256()
    config = locate(source, "config.json")
    if config is not None:
        digest.update(config.read_bytes())
    files = list(weight_files(source))
    for path in files:
        _add_file(digest, path)
    if not files and config is not None:
        digest.update(config.parent.name.encode())  # the hub cache names a snapshot's folder by its commit
    if source.masks is not None:
        _add_file(digest, Path(source.masks))
    return digest.hexdigest()[:16]


def fingerprint_samples(samples: Sequence[Sample]) -> str:
    """Return a hash of the questions, answers, kinds, choices and pixels of samples, in order."""
    digest, seen = hashlib.sha256(), set()
    for sample in samples:
        digest.update(repr((sample.image_id, sample.question, sample.answers, sample.kind, *sample.choices)).encode())
        if sample.image_id not in seen:
            seen.add(sample.image_id)
            for image in sample.images:
                digest.update(image.tobytes())
    return digest.hexdigest()[:16]


def _add_file(digest: hashlib._Hash, path: Path) -> None:
    stat = path.stat()
    if stat.st_size > HASHED_BYTES:
        digest.update(repr((path.name, stat.st_size, stat.st_mtime_ns)).encode())
    else:
        digest.update(path.read_bytes())
