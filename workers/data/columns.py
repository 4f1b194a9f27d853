"""Finds the columns of a data set, and converts its rows to question, answers and choices.

The task follows from the columns: multiple choice if there are choices, else question answering if there is a question,
else captioning.
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
    "context": ("hint", "context"),
    "kind": ("kind", "question_type", "answer_type", "type"),
    "image_id": ("image_id", "img_id"),
}
"""Role of a column -> its usual names, in order of preference."""
ANSWERS = {
    DataTask.QUESTIONS: ("answers", "answer", "multiple_choice_answer", "label"),
    DataTask.CAPTIONS: ("captions", "caption", "sentences_raw", "sentences", "text"),
    DataTask.CHOICES: ("answer", "answers", "label", "correct_choice_idx", "correct_answer", "answer_index", "target"),
}
"""Task -> usual names of the column with the answers, in order of preference."""
PROMPTS = {
    DataTask.QUESTIONS: "{question}",
    DataTask.CAPTIONS: "Provide a one-sentence caption for the provided image.",
    DataTask.CHOICES: "{question}\n{choices}\nAnswer with the option's letter from the given choices directly.",
}
"""Task -> default prompt, as in the evaluation of LLaVA-1.5."""
NO_COLUMN = "none"
"""Value of `--choices-column` or `--context-column` that leaves it out, unless a column has this name."""
MISSING = "nan"
"""Text that pandas writes for a missing value; in a column with one option or context it counts as blank."""
CONTEXT = "Context: {context}\n{question}"
"""Form of a question with context, as in the evaluation of LLaVA-1.5 and lmms-eval on ScienceQA."""
LABELS = ("label", "labels", "answer", "answers", "gt_answer", "target")
"""Columns that contradict captioning: a table with one of them and a text column may hold statements to judge."""
JOINED = ", "
"""Separator of column names that together have one role."""


@dataclass(frozen=True)
class Columns:
    """Converts the rows of a table to the parts of samples."""

    task: DataTask
    names: Mapping[str, str]
    """Role (image, question, answers, choices, context, kind, image_id) -> column, or columns joined by `JOINED`;
    roles without a column are absent."""
    prompt: str
    """Prompt with the placeholders {question} and {choices}."""
    choices_as: str
    """Form of the model's answer to a multiple choice: `letter` or `text`."""
    reading: Reading = "index"
    """How the answer column gives the right choice."""

    @property
    def used(self) -> tuple[str, ...]:
        """Return the columns of the table that are read: those with these names, or with records that have them."""
        return tuple({name: None for part in self._parts for name in (part, part.partition(".")[0])})

    @property
    def _parts(self) -> list[str]:
        return [part for name in self.names.values() for part in name.split(JOINED)]

    def images(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the images of a row in order, as stored.

        Raises:
            Unreadable: an image is missing, or a column of several has more than one.
        """
        columns = self.names["image"].split(JOINED)
        if len(columns) == 1:
            return cells_of(cell(row, columns[0]))
        return cells_of([_one(cells_of(cell(row, column)), column) for column in columns])

    def question(self, row: Mapping[str, Any], choices: Sequence[str]) -> str:
        """Return the prompt of a row with these choices.

        Raises:
            ValueError: the question is not a text.
        """
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False))
        question = self._question(row) if "question" in self.names else ""
        if context := self._context(row):
            question = CONTEXT.format(context=context, question=question)
        # The question is inserted last, so that braces in it are not replaced.
        return self.prompt.replace("{choices}", listed).replace("{question}", question)

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
            raise ValueError(f"the question in column {column!r} can't be used ({error})") from None

    def _context(self, row: Mapping[str, Any]) -> str:
        """Return what stands before the question; empty if there is none."""
        value = cell(row, self.names["context"]) if "context" in self.names else None
        if is_blank(value) or value == MISSING:
            return ""
        try:
            return text_of(value).strip()
        except ValueError as error:
            column = self.names["context"]
            raise ValueError(
                f"the context in column {column!r} can't be used ({error}): name a column of texts with "
                "--context-column, or none"
            ) from None

    def choices(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the texts of the options; empty unless the task is multiple choice.

        Raises:
            ValueError: there are not 2 to 26 options, or one can't be converted to text.
        """
        return tuple(text_of(each).strip() for each in self.options(row)) if self.task is DataTask.CHOICES else ()

    def options(self, row: Mapping[str, Any]) -> list[Any]:
        """Return the options of a row as stored.

        Raises:
            ValueError: there are not 2 to 26 options.
        """
        columns = self.names["choices"].split(JOINED)
        if len(columns) == 1:
            return options_of(cell(row, columns[0]))
        cells = [cell(row, name) for name in columns]
        return options_of([None if each == MISSING else each for each in cells], columns[0])

    def right(self, row: Mapping[str, Any]) -> Any:
        """Return the right option as stored: its index, letter or text.

        Raises:
            ValueError: there are several.
        """
        value = cell(row, self.names["answers"])
        if isinstance(value, list | tuple):
            if len(value) > 1:
                raise ValueError(f"exactly one of the choices must be right, got several ({shown(value)})")
            value = value[0] if value else None
        return value

    def answers(self, row: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
        """Return all accepted answers, most frequent first; for multiple choice, the right option.

        Args:
            row: a row of the table.
            choices: its options as `choices` returns them.

        Raises:
            ValueError: the answer is not one of the choices, or can't be converted to text.
        """
        if choices:
            value = self.right(row)
            place = None if is_blank(value) else place_of(value, choices, self.reading)
            if place is None:
                raise ValueError(
                    f"the answer must be one of {len(choices)} choices (read as {self.reading}), got {shown(value)}"
                )
            return (self.candidates(choices)[place],)
        return accepted(cell(row, self.names["answers"]))

    def kind(self, row: Mapping[str, Any]) -> str:
        """Return the kind of question of a row; several kinds are joined by commas; `all` without such a column."""
        if "kind" not in self.names:
            return "all"
        value = cell(row, self.names["kind"])
        kinds = value if isinstance(value, list | tuple) else [value]
        return JOINED.join(text_of(each) for each in kinds if not is_blank(each)) or "none"

    def candidates(self, choices: Sequence[str]) -> tuple[str, ...]:
        """Return the possible answers of the model to a multiple choice: letters or texts, see `choices_as`."""
        return tuple(ascii_uppercase[: len(choices)]) if self.choices_as == "letter" else tuple(choices)


def cell(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a row in a column, or in a record in it (`query.en`); None if there is none."""
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
    """Return the columns that samples need: those named in the settings, else those found by type and usual name.

    Args:
        source: the settings of the data set.
        features: column -> feature of the `datasets` library, or None if unknown.

    Raises:
        ValueError: a column is missing; one line with the columns of the data set.
    """
    names = {"image": _image_columns(source, features)}
    for meaning in ("question", "choices", "context", "kind", "image_id"):
        given = getattr(source, f"{meaning}_column", None)
        if meaning in ("choices", "context") and given == NO_COLUMN and NO_COLUMN not in features:
            continue
        if meaning == "context" and "question" not in names:
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
        rule = "must have {question}" if "question" in names else "can't have {question}, there is no such column"
        raise ValueError(f"the prompt {rule}, got {shown(prompt)}: change --prompt or leave it out")
    return Columns(task, names, prompt, source.choices_as)


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
            f"a data set of captions must have no labels, got {caption!r} and {labels[0]!r} in {source.name!r}: give "
            f"--answer-column {caption} to caption images, or --question-column {caption} for a question or statement"
        )
    return DataTask.CAPTIONS


def _named(
    source: DataSource, meaning: str, given: str | None, usual: Sequence[str], features: Mapping[str, Any]
) -> str | None:
    """Return the given column, else the first usual one in the data set; None if there is none."""
    if given is None:
        return next((name for name in usual if name in features), None)
    if given in features or given.partition(".")[0] in features:
        return given
    parts = [part.strip() for part in given.split(",")]
    if meaning in ("image", "choices") and len(parts) > 1 and all(part in features for part in parts):
        return JOINED.join(parts)
    raise unknown(f"{meaning} column of {source.name!r}", given, features, f"set --{meaning}-column")


def _image_columns(source: DataSource, features: Mapping[str, Any]) -> str:
    """Return the column of images, or several such as `image_1` and `image_2`, joined by `JOINED`.

    Raises:
        ValueError: there is none, or there are several that do not belong together.
    """
    if source.image_column is not None:
        return str(_named(source, "image", source.image_column, (), features))
    typed = _families(name for name, feature in features.items() if holds_images(feature))
    if len(typed) > 1:
        raise ValueError(
            f"a data set must have one column of images, or image_1, image_2 and so on, got "
            f"{shortened(', '.join(JOINED.join(names) for names in typed.values()))} in {source.name!r}: name it with "
            "--image-column, or several separated by commas"
        )
    families = typed or _families(name for name in features if _stem(name) in NAMES["image"])
    if not families:
        raise _missing(source, "images", NAMES["image"], features, "--image-column")
    first = next((name for name in NAMES["image"] if name in families), next(iter(families)))
    return JOINED.join(families[first])


def image_column(features: Mapping[str, Any]) -> str | None:
    """Return the first column of images, found by type, else by name; None if there is none."""
    typed = (name for name, feature in features.items() if holds_images(feature))
    return next(typed, None) or next((name for name in NAMES["image"] if name in features), None)


def _families(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns by name without number, each list in the order of its numbers."""
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
        f"{shortened(', '.join(features), 300) or 'none'}: name it with {flag}"
    )
