"""Which column of a data set holds what, and how a row becomes question, answers and choices.

The task follows from the columns: with choices it is multiple choice, with a question it is question answering,
without it is captioning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from spaces.names import shortened, shown, unknown
from workers.data.answers import accepted, is_blank, text_of
from workers.data.image_files import Unreadable, cells_of
from workers.data.options import Reading, option_columns, options_of, place_of
from workers.data.sample import DataTask
from workers.sources import DataSource

NAMES = {
    "image": ("image", "images", "img", "picture", "image_path", "file_name", "path"),
    "question": ("question", "query", "prompt"),
    "choices": ("choices", "options"),
    "kind": ("kind", "question_type", "answer_type", "type"),
    "image_id": ("image_id", "img_id"),
}
"""What a sample may need -> usual names of its column, the first that is there."""
ANSWERS = {
    DataTask.QUESTIONS: ("answers", "answer", "multiple_choice_answer", "label"),
    DataTask.CAPTIONS: ("captions", "caption", "sentences_raw", "sentences", "text"),
    DataTask.CHOICES: ("answer", "answers", "label", "correct_choice_idx", "correct_answer", "answer_index", "target"),
}
"""Usual names of the column with the answers, by task."""
PROMPTS = {
    DataTask.QUESTIONS: "{question}",
    DataTask.CAPTIONS: "Provide a one-sentence caption for the provided image.",
    DataTask.CHOICES: "{question}\n{choices}\nAnswer with the option's letter from the given choices directly.",
}
"""What is asked, by task: the prompts of LLaVA-1.5's evaluation. Choices answered with their text are not listed."""
NO_COLUMN = "none"
"""Name of a column of choices that makes every question an open one, unless a column has that name."""
MISSING = "nan"
"""Text that pandas writes for a cell without a value; in a column of options it is a blank."""
LABELS = ("label", "labels", "answer", "answers", "gt_answer", "target")
"""Columns beside captions that make them something else than captions, such as statements that are true or false."""
JOINED = ", "
"""Between the names of columns that hold one thing together."""


@dataclass(frozen=True)
class Columns:
    """How the rows of a table are read."""

    task: DataTask
    names: Mapping[str, str]
    """image, question, answers, choices, kind, image_id -> column, or columns joined by `JOINED`; what isn't there is
    missing."""
    classes: tuple[str, ...]
    """Names of the answers where these are stored as numbers of classes; else empty."""
    prompt: str
    choices_as: str
    reading: Reading = "index"
    """How the right one of the choices is given."""

    @property
    def used(self) -> tuple[str, ...]:
        """Return the columns of the table that are read."""
        return tuple({part.partition(".")[0] if "." in part else part: None for part in self._parts})

    @property
    def _parts(self) -> list[str]:
        return [part for name in self.names.values() for part in name.split(JOINED)]

    def images(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the images of a row in order, as they are stored. Raises Unreadable."""
        columns = self.names["image"].split(JOINED)
        if len(columns) == 1:
            return cells_of(cell(row, columns[0]))
        return cells_of([_one(cells_of(cell(row, column)), column) for column in columns])

    def question(self, row: Mapping[str, Any], choices: Sequence[str]) -> str:
        """Return the prompt of a row. Raises ValueError where its question is no text."""
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False))
        asked = self._question(row) if "question" in self.names else ""
        # the question last: braces in it are its own
        return self.prompt.replace("{choices}", listed).replace("{question}", asked)

    def _question(self, row: Mapping[str, Any]) -> str:
        column = self.names["question"]
        value = cell(row, column)
        if is_blank(value):
            raise ValueError(f"a question must be a text, got {shown(value)} in column {column!r}")
        if isinstance(value, Mapping) and value:
            raise ValueError(
                f"a question must be a text, got a record in column {column!r}: name one of its texts, such as "
                f"--question-column {shortened(f'{column}.{next(iter(value))}')}"
            )
        try:
            return text_of(value)
        except ValueError as error:
            raise ValueError(f"the question in column {column!r} can't be put ({error})") from None

    def choices(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the texts of the options; empty for other tasks. Raises ValueError."""
        return tuple(text_of(each).strip() for each in self.options(row)) if self.task is DataTask.CHOICES else ()

    def options(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the options of a row as they are stored. Raises ValueError."""
        columns = self.names["choices"].split(JOINED)
        if len(columns) == 1:
            return options_of(cell(row, columns[0]))
        cells = [cell(row, name) for name in columns]
        return options_of([None if each == MISSING else each for each in cells])

    def right(self, row: Mapping[str, Any]) -> Any:
        """Return the right option as it is stored. Raises ValueError where there are several."""
        value = cell(row, self.names["answers"])
        if isinstance(value, list | tuple):
            if len(value) > 1:
                raise ValueError(f"one of the choices must be right, got several ({shown(value)})")
            value = value[0] if value else None
        return value

    def answers(self, row: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
        """Return all accepted answers, the most frequent first; the right option where there are choices."""
        if choices:
            value = self.right(row)
            place = None if is_blank(value) else place_of(value, choices, self.reading)
            if place is None:
                raise ValueError(
                    f"the answer must be one of {len(choices)} choices (read as {self.reading}), got {shown(value)}"
                )
            return (self.candidates(choices)[place],)
        value = cell(row, self.names["answers"])
        if self.classes and isinstance(value, int):
            value = self.classes[value] if 0 <= value < len(self.classes) else None
        return accepted(value)

    def kind(self, row: Mapping[str, Any]) -> str:
        """Return the kind of question of a row; `all` where there is no such column, several joined by commas."""
        if "kind" not in self.names:
            return "all"
        value = cell(row, self.names["kind"])
        kinds = value if isinstance(value, list | tuple) else [value]
        return JOINED.join(text_of(each) for each in kinds if not is_blank(each)) or "none"

    def candidates(self, choices: Sequence[str]) -> tuple[str, ...]:
        """Return what may be answered, as the model is to answer it."""
        return tuple(ascii_uppercase[: len(choices)]) if self.choices_as == "letter" else tuple(choices)


def cell(row: Mapping[str, Any], name: str) -> Any:
    """Return what a row has in a column, or in a record there: `query.en`; None where it has none."""
    if name in row:
        return row[name]
    head, _, rest = name.partition(".")
    value = row.get(head)
    return cell(value, rest) if rest and isinstance(value, Mapping) else None


def _one(cells: list[Any], column: str) -> Any:
    if len(cells) > 1:
        raise Unreadable(f"{len(cells)} images in column {column!r}, which is one of several columns of images")
    return cells[0] if cells else None


def find_columns(source: DataSource, features: Mapping[str, Any]) -> Columns:
    """Find every column a sample needs: as told, else by type and by usual names.

    Raises ValueError, in one line with the columns there are, where one is missing.
    """
    names = {"image": _image_columns(source, features)}
    for meaning in ("question", "choices", "kind", "image_id"):
        given = getattr(source, f"{meaning}_column", None)
        if meaning == "choices" and given == NO_COLUMN and NO_COLUMN not in features:
            continue
        column = _named(source, meaning, given, NAMES[meaning], features)
        if column is None and meaning == "choices" and "question" in names:
            column = JOINED.join(option_columns(name for name in features if name not in names.values())) or None
        if column is not None:
            names[meaning] = column
    task = _task(source, names, features)
    answers = _named(source, "answer", source.answer_column, ANSWERS[task], features)
    if answers is None:
        raise _missing(source, "answers", ANSWERS[task], features, "--answer-column")
    names["answers"] = answers
    listed = task is DataTask.CHOICES and source.choices_as == "letter"
    prompt = source.prompt or PROMPTS[DataTask.QUESTIONS if task is DataTask.CHOICES and not listed else task]
    if ("{question}" in prompt) != ("question" in names):
        rule = "must hold {question}" if "question" in names else "can't hold {question}, there is no such column"
        raise ValueError(f"the prompt {rule}, got {shown(prompt)}: change --prompt or leave it out")
    classes = tuple(getattr(features.get(answers), "names", None) or ())
    return Columns(task, names, classes, prompt, source.choices_as)


def _task(source: DataSource, names: Mapping[str, str], features: Mapping[str, Any]) -> DataTask:
    if "question" in names:
        return DataTask.CHOICES if "choices" in names else DataTask.QUESTIONS
    captions = ANSWERS[DataTask.CAPTIONS]
    if "choices" in names or not (source.answer_column or any(name in features for name in captions)):
        raise _missing(source, "questions", NAMES["question"], features, "--question-column", captions)
    labels = [name for name in LABELS if name in features]
    if source.answer_column is None and labels:
        caption = next(name for name in captions if name in features)
        raise ValueError(
            f"captions must be what is said of an image, got {caption!r} beside {labels[0]!r} in {source.name!r}: say "
            f"--answer-column {caption} to caption images, or --question-column {caption} for a question or statement"
        )
    return DataTask.CAPTIONS


def _named(
    source: DataSource, meaning: str, given: str | None, usual: Sequence[str], features: Mapping[str, Any]
) -> str | None:
    """Return the given column, or the first usual one; None if there is none."""
    if given is None:
        return next((name for name in usual if name in features), None)
    if given in features or given.partition(".")[0] in features:
        return given
    parts = [part.strip() for part in given.split(",")]
    if meaning in ("image", "choices") and len(parts) > 1 and all(part in features for part in parts):
        return JOINED.join(parts)
    raise unknown(f"{meaning} column of {source.name!r}", given, features, f"set --{meaning}-column")


def _image_columns(source: DataSource, features: Mapping[str, Any]) -> str:
    """Return the columns of images, with `image_1` and `image_2` grouped.

    Raises ValueError where there are none, or several of which none may be left out without a word.
    """
    if source.image_column is not None:
        return str(_named(source, "image", source.image_column, (), features))
    typed = _families(name for name, feature in features.items() if holds_images(feature))
    if len(typed) > 1:
        raise ValueError(
            f"a data set must have one column of images, or image_1, image_2 and so on, got "
            f"{shortened(', '.join(JOINED.join(names) for names in typed.values()))} in {source.name!r}: say which by "
            "--image-column, several with commas"
        )
    families = typed or _families(name for name in features if _stem(name) in NAMES["image"])
    if not families:
        raise _missing(source, "images", NAMES["image"], features, "--image-column")
    first = next((name for name in NAMES["image"] if name in families), next(iter(families)))
    return JOINED.join(families[first])


def image_column(features: Mapping[str, Any]) -> str | None:
    """Return the first column of images by type, else by name; None where there is none."""
    typed = (name for name, feature in features.items() if holds_images(feature))
    return next(typed, None) or next((name for name in NAMES["image"] if name in features), None)


def _families(names: Iterable[str]) -> dict[str, list[str]]:
    """Return columns by name without its number, each in the order of their numbers."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_stem(name), []).append(name)
    return {
        stem: sorted(each, key=lambda name: int("0" + name[len(stem) :].strip("_- "))) for stem, each in found.items()
    }


def _stem(name: str) -> str:
    return re.sub(r"[_\- ]?[0-9]{1,4}$", "", name)


def holds_images(feature: Any) -> bool:
    """Return True if a feature of the `datasets` library is an image or a list of images."""
    return type(getattr(feature, "feature", feature)).__name__ == "Image"


def _missing(
    source: DataSource, what: str, usual: Sequence[str], features: Mapping[str, Any], flag: str,
    captions: Sequence[str] = (),
) -> ValueError:  # fmt: skip
    other = f" or of captions ({', '.join(captions)})" if captions else ""
    return ValueError(
        f"a data set must have a column of {what} ({', '.join(usual)}){other}, got {source.name!r} with "
        f"{shortened(', '.join(features), 300) or 'none'}: name it by {flag}"
    )
