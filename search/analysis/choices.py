"""The trials that a run suggests for export: one per rule, the most careful rule first."""

from collections.abc import Sequence
from dataclasses import dataclass

from objectives.front import FrontLimits
from search.analysis.select_trials import SelectionError, select
from search.storage.results import TrialRecord

RULES = (
    ("min_retention", 0.99),
    ("min_retention", 0.97),
    ("min_retention", 0.95),
    ("min_retention", 0.9),
    ("knee", None),
)
"""Rules of `search.export` that are suggested, those that lose least accuracy first."""
FIRST = "--min-retention 0.97"
"""The rule of the suggested command: most of the saving at a small loss."""


@dataclass(frozen=True)
class Choice:
    """A trial that a rule of `search.export` selects."""

    option: str
    """The rule as an option of the command: `--min-retention 0.97`."""
    record: TrialRecord

    @property
    def words(self) -> str:
        """Return the rule in words."""
        share = self.option.partition(" ")[2]
        return f"cheapest with {float(share):.0%} of the dense accuracy" if share else "knee of the front"


def choices(records: Sequence[TrialRecord], limits: FrontLimits) -> list[Choice]:
    """Return one trial per rule that selects one, without trials that an earlier rule selects.

    Args:
        records: all trials of a run.
        limits: what a trial of the run must keep to be on its front.
    """
    found: dict[int, Choice] = {}
    for rule, value in RULES:
        try:
            (chosen,) = select(records, 0, rule, value, limits)
        except SelectionError:
            continue
        if chosen.record is not None:
            option = f"--{rule.replace('_', '-')}" + ("" if value is None else f" {value:g}")
            found.setdefault(chosen.record.trial.number, Choice(option, chosen.record))
    return list(found.values())


def first_choice(found: Sequence[Choice]) -> Choice | None:
    """Return the choice by the rule `FIRST`, the most careful one if no rule is `FIRST`, or None without choices."""
    return next((choice for choice in found if choice.option == FIRST), found[0] if found else None)
