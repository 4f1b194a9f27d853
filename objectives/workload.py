"""Defines the workload of a model: the numbers of tokens for which FLOPs are computed."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any


class WorkloadError(ValueError):
    """A workload has an impossible number. The message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The tokens of one request, or their means over a data set; `batch` such requests run together.

    Means may be fractional. Numbers without a fraction are stored as int, so that FLOPs are exact integers.
    """

    visual_tokens: float
    """Image tokens of the prompt, over all its images."""
    text_tokens: float
    """All other tokens of the prompt."""
    generated_tokens: float
    """Generated tokens; the first comes from the prefill, each further one from a decode step."""
    images: float = 1
    """Images that the vision tower encodes."""
    batch: int = 1
    """Number of requests."""
    cross_tokens: float = 0
    """Rows of image features that cross-attention attends to; 0 without an image, when its blocks do not run."""
    vision_flops: float | None = None
    """Counted FLOPs of the vision tower for the images of one request; None for the closed form of the shape."""
    projector_flops: float | None = None
    """Counted FLOPs of the projector for the images of one request; None for the closed form of the shape."""
    extra_head_rows: float = 0
    """Rows of the prompt, besides the last, whose logits the model computes though `generate` does not need them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None or field.default is not None:
                object.__setattr__(self, field.name, _number(field.name, value))
        if self.batch != int(self.batch) or self.batch < 1:
            raise WorkloadError(f"batch of a workload must be a whole number from 1, got {self.batch}: use batch=1")
        if self.prompt_tokens == 0:
            raise WorkloadError("a workload must have at least one prompt token, got none: set text_tokens")

    @property
    def prompt_tokens(self) -> float:
        """Return the number of rows of the prefill per request."""
        return self.visual_tokens + self.text_tokens

    @property
    def decode_steps(self) -> float:
        """Return the number of forward passes after the prefill, each on one token."""
        return max(self.generated_tokens - 1, 0)

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name for JSON, without those that do not apply to the model.

        Counted FLOPs of 0 are kept, as opposed to FLOPs that are not counted.
        """
        absent = {"extra_head_rows": 0, "cross_tokens": 0, "vision_flops": None, "projector_flops": None}
        return {name: value for name, value in asdict(self).items() if name not in absent or value != absent[name]}

    @classmethod
    def from_dict(cls, source: Mapping[str, Any]) -> "Workload":
        """Return the workload of a mapping of field names to numbers.

        Raises:
            WorkloadError: an unknown or missing name, or an impossible number.
        """
        names = [field.name for field in fields(cls)]
        needed = names[:3]
        for key in source:
            if key not in names:
                raise WorkloadError(f"unknown key {key!r} in a workload: the keys are {', '.join(names)}")
        for name in needed:
            if name not in source:
                raise WorkloadError(f"a workload must have {', '.join(needed)}, got none for {name}: add it")
        return cls(**source)


def _number(name: str, value: object) -> float:
    """Return the value, which may be a NumPy scalar, as an int if it has no fraction, else as a float."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise WorkloadError(f"{name} of a workload must be a number, got {value!r}: give a count or a mean")
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise WorkloadError(f"{name} of a workload must be finite and not negative, got {value}: give a count")
    return int(number) if number.is_integer() else number
