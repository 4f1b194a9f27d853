"""Maps the splits of a data set to train, tune, search and test, and carves missing ones out of the training images."""

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
"""Split of the search -> usual names in data sets, in order of preference."""
CARVED: dict[Split, int] = {"tune": 10, "search": 20, "test": 20}
"""Split -> percent of the training images that it gets if it is missing."""


def part_of(image_id: str, carved: Mapping[Split, int]) -> Split:
    """Return the split that an image of the training rows belongs to.

    It depends on the hash of the id only, not on the other images.

    Args:
        image_id: id of the image.
        carved: split -> percent of the images that it gets; the rest is `train`.
    """
    number = int(hashlib.sha256(image_id.encode("utf-8", "surrogatepass")).hexdigest(), 16) % 100
    for split, share in carved.items():
        if number < share:
            return split
        number -= share
    return "train"


def places_of(source: DataSource, theirs: Sequence[str]) -> dict[Split, str]:
    """Return the splits of the data set by the splits of the search: as named in the settings, else by usual names.

    Splits absent from the result must be carved out of `train`.

    Args:
        source: the settings of the data set.
        theirs: names of the splits of the data set.

    Raises:
        ValueError: a named split does not exist or is named twice, or there is no train split.
    """
    named = {ours: name for ours in SPLITS if (name := getattr(source, f"{ours}_split")) is not None}
    for ours, name in named.items():
        if name not in theirs:
            raise unknown(f"split of {source.name!r}", name, theirs, f"set --{ours}-split")
    if len(set(named.values())) < len(named):
        raise ValueError(
            f"all splits must be different, got {', '.join(named.values())}: name each once; those not named are taken "
            "from the training images"
        )
    if not named and len(theirs) == 1:
        return {"train": theirs[0]}
    free = [name for name in theirs if name not in named.values()]
    guessed = {ours: next((name for name in names if name in free), None) for ours, names in SPLITS.items()}
    places = {ours: name for ours, name in {**guessed, **named}.items() if name is not None}
    if "train" not in places:
        raise ValueError(
            f"a data set must have a train split, got {source.name!r} with {', '.join(theirs)}: "
            "name one with --train-split"
        )
    return places
