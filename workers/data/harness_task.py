"""Reads the questions of a task of lmms-eval, with its own prompts and scores per question.

Questions, images and scores come from the functions of the task: `doc_to_text`, `doc_to_visual`, `process_results`.
Images stand before the text, as in lmms-eval's requests without messages of the task's own.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from spaces.names import shown, unknown
from workers.data.sample import Sample, SplitData
from workers.data.splits import CARVED, part_of
from workers.sources import DataSource, Split

log = logging.getLogger(__name__)
MAX_NEW_TOKENS = 1024
"""Maximum number of tokens per answer where a task gives none, as in the models of lmms-eval."""


@dataclass(frozen=True)
class HarnessTask:
    """A task of lmms-eval whose score is the mean of one number per question."""

    name: str
    task: Any
    """The task object of lmms-eval."""
    metric: str
    """Name of the metric in the results of the task."""

    def pools(self) -> dict[str, Any]:
        """Return `eval`, the rows that lmms-eval evaluates, and `train`, the training rows if the task has any."""
        rows = self.task.test_docs() if self.task.has_test_docs() else self.task.validation_docs()
        return {"eval": rows} | ({"train": self.task.training_docs()} if self.task.has_training_docs() else {})

    def score(self, row: Any, answer: str) -> float:
        """Return the score that the task gives to an answer, from 0 to 1.

        Args:
            row: a row of the data set.
            answer: the generated answer.

        Raises:
            ValueError: the score is no number from 0 to 1.
        """
        stops = self.task.config.generation_kwargs.get("until") or ()
        for stop in (stops,) if isinstance(stops, str) else stops:
            answer = answer.partition(stop)[0] if stop else answer
        value = self.task.process_results(row, [answer.strip()]).get(self.metric)
        if not _is_score(value):
            raise ValueError(
                f"a task must score each question with a number from 0 to 1, got {shown(value)} for {self.metric} of "
                f"{self.name}: choose another task"
            )
        return float(value)


def _is_score(value: Any) -> bool:
    try:
        return 0 <= float(value) <= 1
    except (TypeError, ValueError):
        return False


@lru_cache(maxsize=4)
def open_task(name: str, folder: str | None) -> HarnessTask:
    """Return a task, with its data set loaded.

    Args:
        name: name of the task.
        folder: folder of the user's own tasks, as `--include_path` of lmms-eval; None for lmms-eval's tasks only.

    Raises:
        ValueError: lmms-eval is not installed, the folder is missing, the task is unknown, its data set can't be
            loaded, or its score is not the mean of one number per question with a greedy answer; one line.
    """
    if find_spec("lmms_eval") is None:
        raise ValueError("--task needs the package lmms-eval: pip install 'skipsearch[lmms]'")
    if folder is not None and not Path(folder).is_dir():
        raise ValueError(f"--task-folder must be a folder of task files, got {folder}: check the path")
    from lmms_eval.tasks import TaskManager, get_task_dict

    manager = TaskManager("ERROR", include_path=folder, include_defaults=False, model_name="skipsearch")
    if folder is None or name not in manager.all_tasks:
        manager = TaskManager("ERROR", include_path=folder, model_name="skipsearch")
    if name not in manager.all_subtasks:
        groups = name in manager.all_tasks
        hint = "it is a group: name one task of it" if groups else "--task-folder adds tasks of your own"
        raise unknown("task of lmms-eval", name, manager.all_subtasks, hint)
    try:
        task = get_task_dict([name], manager, "simple")[name]
    except Exception as error:  # tasks are foreign code; lmms-eval wraps their errors in one of its retries
        attempt = getattr(error, "last_attempt", None)
        why = " ".join(str(error if attempt is None else attempt.exception()).split())[:200]
        raise ValueError(
            f"a task must load its data set, got an error of {name!r} ({why}): run lmms-eval --tasks {name} once, with "
            "access to the network"
        ) from error
    return HarnessTask(name, task, _metric_of(name, task))


def _metric_of(name: str, task: Any) -> str:
    """Return the first metric of a task that is a mean over questions, higher is better.

    Raises:
        ValueError: there is none, or the task does not take the first greedy answer as it is.
    """
    from lmms_eval.api.registry import get_aggregation

    options = task.config.generation_kwargs or {}
    needs = {
        "generated answers": task.config.output_type == "generate_until",
        "greedy answers": not (options.get("temperature") or 0) > 0 and (options.get("num_beams") or 1) == 1,
        "answers without filters": task.config.filter_list is None,
        "one answer per question": (task.config.repeats or 1) == 1,
    }
    for what, met in needs.items():
        if not met:
            raise ValueError(f"a task for a search must have {what}, got {name!r}, which has not: choose another task")
    higher, mean = task.higher_is_better(), get_aggregation("mean")
    found: list[str] = [metric for metric, whole in task.aggregation().items() if whole is mean and higher.get(metric)]
    if not found:
        raise ValueError(
            f"a task for a search must have a metric that is a mean over questions, higher is better, got {name!r} "
            f"with {', '.join(task.aggregation())}: choose another task"
        )
    return found[0]


def read_task(source: DataSource, split: Split) -> SplitData:
    """Return the samples of a split of a task.

    Without training rows, all splits are carved out of the rows that lmms-eval evaluates, by image. With them, train
    and tune are carved out of the training rows, search and test, half each, out of the evaluated ones.

    Args:
        source: the settings of the data set, with a task.
        split: name of the split.

    Raises:
        ValueError: the task can't be used (`open_task`), or the split would be empty; one line.
    """
    task = open_task(str(source.task), source.task_folder)
    pools = task.pools()
    if "train" not in pools:
        log.warning("the task %s has no training rows: tuning uses half of the evaluated ones", task.name)
    pool, carved, rest = _share(split, "train" in pools)
    samples: list[Sample] = []
    skipped = 0
    limit = source.most_rows(split)
    for row, images in _rows(task.task, pools[pool]):
        group = _id(images)
        part = part_of(group, carved)
        if (rest if part == "train" else part) != split:
            continue
        if images:
            samples.append(_sample(task, row, images, group))
        else:
            skipped += 1
        if len(samples) + skipped == limit:
            break
    if not samples:
        raise ValueError(
            f"the split {split!r} must have at least one image, got none of the task {task.name!r}: use more rows"
        )
    return SplitData(tuple(samples), skipped=skipped)


def _share(split: Split, trains: bool) -> tuple[str, dict[Split, int], Split]:
    """Return the pool of a split, the percentages carved out of the pool, and the split that gets its rest."""
    if not trains:
        return "eval", CARVED, "train"
    if split in ("train", "tune"):
        return "train", {"tune": CARVED["tune"]}, "train"
    return "eval", {"search": 50}, "test"


def _rows(task: Any, rows: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield each row without its images, and its images in RGB."""
    for row in rows:
        visuals = task.doc_to_visual(row) or ()
        kept = {name: value for name, value in row.items() if not _is_image(value)}
        yield kept, tuple(visual.convert("RGB") for visual in visuals if _is_image(visual))


def _is_image(value: Any) -> bool:
    from PIL.Image import Image

    return isinstance(value, Image)


def _id(images: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(repr(image.size).encode() + image.tobytes())
    return digest.hexdigest()[:16]


def _sample(task: HarnessTask, row: Any, images: tuple[Any, ...], group: str) -> Sample:
    score: Callable[[str], float] = partial(task.score, row)
    options = task.task.config.generation_kwargs or {}
    return Sample(
        image=images[0],
        image_id=group,
        question=task.task.doc_to_text(row),
        answers=_answers(task.task, row),
        kind=task.name,
        more_images=images[1:],
        score=score,
        max_new_tokens=int(options.get("max_new_tokens") or MAX_NEW_TOKENS),
    )


def _answers(task: Any, row: Any) -> tuple[str, ...]:
    """Return the accepted answers of a row; the first is the target of tuning."""
    target = task.doc_to_target(row)
    if task.config.doc_to_choice is not None and isinstance(target, int):
        target = task.doc_to_choice(row)[target]
    return tuple(map(str, target)) if isinstance(target, list | tuple) and target else (str(target),)
