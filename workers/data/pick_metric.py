"""Picks the metric of a data set: the requested one, else the usual one for the data. Imports no torch."""

from __future__ import annotations

from statistics import median

from objectives.cider import check_cider
from objectives.metrics import METRICS, guess_metric
from workers.data.sample import DataTask, SplitData


def pick_metric(data: SplitData, requested: str | None) -> str:
    """Return the name of the metric.

    Args:
        data: the search split.
        requested: a key of `METRICS`, or None for the usual metric of the data.

    Raises:
        ValueError: the metric does not fit the data; one line.
    """
    by_task = all(sample.score is not None for sample in data.samples)
    name = (
        requested
        or ("task" if by_task else None)
        or guess_metric(
            [
                median(len(sample.answers) for sample in data.samples)
            ],  # the median, so that a few odd rows do not matter
            captions=data.task is DataTask.CAPTIONS,
            choices=data.task is DataTask.CHOICES,
        )
    )
    metric = METRICS[name]
    if metric.needs_choices and data.task is not DataTask.CHOICES:
        raise ValueError(
            f"the metric {name} needs multiple-choice data, got {data.task}: name the options with --choices-column, "
            "or choose another --metric"
        )
    if metric.by_task and not by_task:
        raise ValueError(f"the metric {name} needs a task of lmms-eval: give --task, or choose another --metric")
    if len(data.samples) < metric.fewest:
        raise ValueError(
            f"the metric {name} needs at least {metric.fewest} samples to compare, got {len(data.samples)}: "
            "use more of them, or choose another --metric"
        )
    if name == "cider":
        check_cider()
    return name
