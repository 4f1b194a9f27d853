"""Defines the pruning of a block: sparsity, which zeroes single weights, and width, which removes channels and heads.

Sparsity (a method) does not change the sizes of matrices and saves nothing without sparse kernels. Width makes the
matrices smaller and, if heads are removed, also the KV cache. If a block has both, it is narrowed first.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from spaces.errors import PlanError

FULL = 100
"""All weights, in percent."""


class Method(StrEnum):
    """The score by which weights are selected: those with the lowest scores within a row of a matrix become zero."""

    MAGNITUDE = "magnitude"
    """|weight|"""
    WANDA = "wanda"
    """|weight| * norm of its input feature over calibration tokens (Sun et al. 2023, arXiv 2306.11695)."""
    SAVED = "saved"
    """The weights given by the mask file stored with the model, such as the intersection of the masks of several tasks.
    """


class Linears(StrEnum):
    """The linear layers of a block in which weights become zero."""

    ALL = "all"
    ATTENTION = "attn"
    FFN = "ffn"


class Calibration(StrEnum):
    """The tokens of the calibration samples that count; padding never does."""

    WHOLE = "whole"
    """All tokens."""
    TEXT = "text"
    """All but image tokens."""
    IMAGE = "image"


class Pattern(NamedTuple):
    """n:m sparsity: of each `group` consecutive weights of a row, and of a shorter last group, `kept` remain."""

    kept: int
    group: int

    def __str__(self) -> str:
        return f"{self.kept}:{self.group}"


@dataclass(frozen=True, slots=True)
class Pruning:
    """The pruning of a block's weights. Fractions are in whole percent."""

    method: Method | None = None
    """None if no weight becomes zero."""
    percent: int | None = None
    """Percentage of each row that becomes zero, rounded down; for magnitude and Wanda without a pattern."""
    pattern: Pattern | None = None
    """n:m pattern; for magnitude and Wanda without a percentage."""
    linears: Linears = Linears.ALL
    """Linear layers that the method applies to."""
    ffn_width: int = FULL
    """Percentage of the FFN channels that remain."""
    head_width: int = FULL
    """Percentage of the head groups that remain; a group is a key-value head with the query heads that share it."""
    calibration: Calibration = Calibration.WHOLE
    """Tokens that count in the calibration of Wanda and widths."""

    def __post_init__(self) -> None:
        _check_types(self)
        if self.method is None and not self.narrows:
            raise PlanError("a pruning must have a method or a width below 100 percent, got neither: leave it out")
        _check_amount(self)
        for name in ("ffn_width", "head_width"):
            if not 1 <= getattr(self, name) <= FULL:
                raise PlanError(f"{name} must be 1 to 100 percent that stay, got {getattr(self, name)}: change it")
        if self.method is Method.SAVED and self.narrows:
            width = next(name for name in ("ffn_width", "head_width") if getattr(self, name) < FULL)
            raise PlanError(
                f"a saved mask is of whole matrices and goes with no width, got {width} {getattr(self, width)}: "
                "remove one"
            )
        if self.linears is not Linears.ALL and self.method is None:
            raise PlanError(f"only a method has linears, got {self.linears} for a width: leave it out")
        if self.calibration is not Calibration.WHOLE and not self.is_calibrated:
            raise PlanError(f"only wanda and widths are calibrated, got {self.calibration}: leave it out")

    @property
    def narrows(self) -> bool:
        """Return True if channels or heads are removed."""
        return min(self.ffn_width, self.head_width) < FULL

    @property
    def is_mask(self) -> bool:
        """Return True if it only zeroes weights chosen by their scores."""
        return self.method in (Method.MAGNITUDE, Method.WANDA) and not self.narrows

    @property
    def is_calibrated(self) -> bool:
        """Return True if it needs calibration samples."""
        return self.method is Method.WANDA or self.narrows

    def sparsifies(self, sublayer: Linears) -> bool:
        """Return True if weights of the attention's, or of the FFN's, linear layers become zero."""
        return self.method is not None and self.linears in (Linears.ALL, sublayer)

    def kept_weights(self, columns: int) -> int:
        """Return the number of weights that remain in a row of `columns` weights, for magnitude or Wanda."""
        if self.pattern is None:
            assert self.percent is not None, "a saved mask has its own counts"
            return columns - columns * self.percent // FULL
        groups, rest = divmod(columns, self.pattern.group)
        return groups * self.pattern.kept + min(rest, self.pattern.kept)

    def kept_channels(self, num_channels: int) -> int:
        """Return the number of FFN channels that remain, at least one."""
        return _kept(num_channels, self.ffn_width)

    def kept_groups(self, num_groups: int) -> int:
        """Return the number of head groups that remain, at least one."""
        return _kept(num_groups, self.head_width)

    def within(self, attention: bool, ffn: bool) -> "Pruning | None":
        """Return the part of the pruning that concerns a block, or None if there is none.

        Args:
            attention: True if the block runs attention.
            ffn: True if the block runs the FFN.
        """
        runs = {Linears.ALL: attention or ffn, Linears.ATTENTION: attention, Linears.FFN: ffn}
        method = self.method if runs[self.linears] else None
        ffn_width, head_width = self.ffn_width if ffn else FULL, self.head_width if attention else FULL
        if method is None and min(ffn_width, head_width) == FULL:
            return None
        is_calibrated = method is Method.WANDA or min(ffn_width, head_width) < FULL
        return Pruning(
            method,
            self.percent if method else None,
            self.pattern if method else None,
            self.linears if method else Linears.ALL,
            ffn_width,
            head_width,
            self.calibration if is_calibrated else Calibration.WHOLE,
        )


def _kept(count: int, percent: int) -> int:
    """Return `percent` of a count, at least 1, rounded to the nearest, up at .5."""
    return max(1, (count * percent + FULL // 2) // FULL)


def _check_types(pruning: Pruning) -> None:
    wanted: dict[str, Any] = {
        "method": (Method, type(None)),
        "percent": (int, type(None)),
        "pattern": (Pattern, type(None)),
        "linears": Linears,
        "ffn_width": int,
        "head_width": int,
        "calibration": Calibration,
    }
    for name, kind in wanted.items():
        value = getattr(pruning, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise PlanError(
                f"{name} of a Pruning has another type, got {value!r}: use spaces.pruning_forms to read one"
            )


def _check_amount(pruning: Pruning) -> None:
    """Check that magnitude and wanda have exactly one of percent and pattern, and any other method neither."""
    given = [value for value in (pruning.percent, pruning.pattern) if value is not None]
    if len(given) != (pruning.method in (Method.MAGNITUDE, Method.WANDA)):
        raise PlanError(
            "magnitude and wanda must have percent or a pattern, a saved mask and a width alone neither, "
            f"got {pruning.method} with {' and '.join(map(str, given)) or 'nothing'}: change it"
        )
    if pruning.percent is not None and not 1 <= pruning.percent < FULL:
        raise PlanError(f"percent must be 1 to 99 of the weights that become zero, got {pruning.percent}: change it")
    if pruning.pattern is not None and not 1 <= pruning.pattern.kept < pruning.pattern.group:
        raise PlanError(f"a pattern n:m must keep 1 to m - 1 of m weights, got {pruning.pattern}: write 2:4")
