"""Formats the comparison of two runs as a table for the terminal."""

from rich.text import Text

from search.analysis.compare import AtLevel, Comparison
from search.console.aligned import Column, aligned


def comparison_text(found: Comparison) -> Text:
    """Return the hypervolumes, and a table with the most accurate plan of each run up to each FLOPs ratio."""
    first, second = found.names
    text = Text(f"{first} against {second}\n\n", style="bold")
    for name, volume, trials in zip(found.names, found.hypervolumes, found.trials, strict=True):
        text.append(f"{name}: hypervolume {volume:.4f} above the floor, {trials} trials\n")
    columns = (Column(f"{found.cost} at most"), Column(f"trial of {first}"), Column("accuracy"),
               Column(f"trial of {second}"), Column("accuracy"), Column("second - first [95 %]"))  # fmt: skip
    text.append("".join(f"{line}\n" for line in ["", *aligned(columns, [_row(level) for level in found.levels])]))
    split = "test" if all(level.tested for level in found.levels) else "search where not tested, else test"
    return text.append(
        f"The best plan of each front within a share of the dense {found.cost}, chosen on the search split; accuracy "
        f"on the {split} split. The difference is paired by question.\n",
        style="dim",
    )


def _row(level: AtLevel) -> list[str]:
    trials = ["none" if number is None else str(number) for number in level.trials]
    accuracies = ["" if accuracy is None else f"{accuracy:.3f}" for accuracy in level.accuracies]
    difference = ""
    if level.difference is not None and level.interval is not None:
        difference = f"{level.difference:+.3f} [{level.interval[0]:+.3f}, {level.interval[1]:+.3f}]"
    return [f"{level.flops_ratio:.0%}", trials[0], accuracies[0], trials[1], accuracies[1], difference]
