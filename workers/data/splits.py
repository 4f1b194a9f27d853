"""Which of our splits is which of a data set's, and which images a split that isn't there is carved out of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from spaces.names import unknown
from workers.sources import DataSource, Split

SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "tune": ("tune",),
    "search": ("search", "validation", "val", "dev"),
    "test": ("test",),
}
"""Our splits -> names of theirs, the first that is there."""
CARVED: dict[Split, int] = {"tune": 10, "search": 20, "test": 20}
"""Percent of the training images that become a split which isn't there."""


def part_of(image_id: str, carved: Mapping[Split, int]) -> Split:
    """Return the split that an image of the training rows goes to; the same for ever, whatever else is there."""
    number = int(hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest(), 16) % 100
    for split, share in carved.items():
        if number < share:
            return split
        number -= share
    return "train"


def places_of(source: DataSource, theirs: Sequence[str]) -> dict[Split, str]:
    """Return the data set's split for each of ours: as told, else by usual names.

    Those missing are to be carved out of `train`. Raises ValueError.
    """
    told = {ours: name for ours in SPLITS if (name := getattr(source, f"{ours}_split")) is not None}
    for ours, name in told.items():
        if name not in theirs:
            raise unknown(f"split of {source.name!r}", name, theirs, f"set --{ours}-split")
    if len(set(told.values())) < len(told):
        raise ValueError(
            f"every split must be another one, got {', '.join(told.values())}: name each once, what you leave out "
            "is taken from the training images"
        )
    if not told and len(theirs) == 1:
        return {"train": theirs[0]}
    free = [name for name in theirs if name not in told.values()]
    guessed = {ours: next((name for name in names if name in free), None) for ours, names in SPLITS.items()}
    places = {ours: name for ours, name in {**guessed, **told}.items() if name is not None}
    if "train" not in places:
        raise ValueError(
            f"a data set must have a train split, got {source.name!r} with {', '.join(theirs)}: "
            "name one by --train-split"
        )
    return places
