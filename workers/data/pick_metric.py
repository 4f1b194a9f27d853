"""Which metric a data set is scored by: the one asked for where it fits, else the usual one. Imports no torch."""

from __future__ import annotations

from statistics import median

from objectives.cider import check_cider
from objectives.metrics import METRICS, guess_metric
from workers.data.sample import DataTask, SplitData


def pick_metric(data: SplitData, asked: str | None) -> str:
    """Return the name of the metric. Raises ValueError, in one line, where the one asked for does not fit the data."""
    name = asked or guess_metric(
        [median(len(sample.answers) for sample in data.samples)],  # a few rows with fewer don't change what it is
        captions=data.task is DataTask.CAPTIONS,
        choices=data.task is DataTask.CHOICES,
    )
    metric = METRICS[name]
    if metric.needs_choices and data.task is not DataTask.CHOICES:
        raise ValueError(
            f"the metric {name} needs multiple-choice data, got {data.task}: name the options by --choices-column, "
            "or take another --metric"
        )
    if len(data.samples) < metric.fewest:
        raise ValueError(
            f"the metric {name} needs at least {metric.fewest} samples to compare, got {len(data.samples)}: "
            "use more of them, or take another --metric"
        )
    if name == "cider":
        check_cider()
    return name
