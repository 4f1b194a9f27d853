"""Which column of a data set holds what, and how a row becomes question, answers and choices.

The task follows from the columns: with choices it is multiple choice, with a question it is question answering,
without it is captioning.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from spaces.names import unknown
from workers.data.sample import DataTask
from workers.requests import DataSource

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
TEXT_KEYS = ("answer", "caption", "raw", "text")
"""Where the text is in answers that are records."""


@dataclass(frozen=True)
class Columns:
    """How the rows of a table are read."""

    task: DataTask
    names: Mapping[str, str]
    """image, question, answers, choices, kind, image_id -> column; what isn't there is missing."""
    classes: tuple[str, ...]
    """Names of the answers where these are stored as numbers of classes; else empty."""
    prompt: str
    choices_as: str

    def question(self, row: Mapping[str, Any], choices: Sequence[str]) -> str:
        """What the model is asked."""
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False))
        asked = str(row[self.names["question"]]) if "question" in self.names else ""
        # the question last: braces in it are its own
        return self.prompt.replace("{choices}", listed).replace("{question}", asked)

    def choices(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """The texts of the options, a list or a list written as text; empty for other tasks. Raises ValueError."""
        if self.task is not DataTask.CHOICES:
            return ()
        value = row[self.names["choices"]]
        if isinstance(value, str):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                value = None
        if not isinstance(value, list | tuple) or not 2 <= len(value) <= len(ascii_uppercase):
            got = row[self.names["choices"]]
            raise ValueError(f"choices must be a list of 2 to {len(ascii_uppercase)} texts, got {got!r}")
        return tuple(str(each).strip() for each in value)

    def answers(self, row: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, ...]:
        """All accepted answers, the most frequent first; the right option where there are choices."""
        value = row[self.names["answers"]]
        if choices:
            return (self.candidates(choices)[right_choice(value, choices)],)
        if self.classes and isinstance(value, int):
            value = self.classes[value] if 0 <= value < len(self.classes) else None
        texts = [text for text in _texts(value) if text.strip()]
        return tuple(sorted(texts, key=lambda text: -texts.count(text)))

    def candidates(self, choices: Sequence[str]) -> tuple[str, ...]:
        """What may be answered, as the model is to answer it."""
        return tuple(ascii_uppercase[: len(choices)]) if self.choices_as == "letter" else tuple(choices)


def find_columns(source: DataSource, features: Mapping[str, Any]) -> Columns:
    """Finds every column a sample needs: as told, else by type and by usual names.

    Raises ValueError, in one line with the columns there are, where one is missing.
    """
    names = {"image": _image_column(source, features)}
    for meaning in ("question", "choices", "kind", "image_id"):
        given = getattr(source, f"{meaning}_column", None)
        column = _named(source, meaning, given, NAMES[meaning], features)
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
        raise ValueError(f"the prompt {rule}, got {prompt!r}: change --prompt or leave it out")
    classes = tuple(getattr(features[answers], "names", None) or ())
    return Columns(task, names, classes, prompt, source.choices_as)


def _task(source: DataSource, names: Mapping[str, str], features: Mapping[str, Any]) -> DataTask:
    if "question" in names:
        return DataTask.CHOICES if "choices" in names else DataTask.QUESTIONS
    captions = ANSWERS[DataTask.CAPTIONS]
    if "choices" in names or not (source.answer_column or any(name in features for name in captions)):
        raise _missing(source, "questions", NAMES["question"], features, "--question-column", captions)
    return DataTask.CAPTIONS


def _named(
    source: DataSource, meaning: str, given: str | None, usual: Sequence[str], features: Mapping[str, Any]
) -> str | None:
    """The column that was told, or the first usual one; None where there is none."""
    if given is None:
        return next((name for name in usual if name in features), None)
    if given not in features:
        raise unknown(f"{meaning} column of {source.name!r}", given, features, f"set --{meaning}-column")
    return given


def _image_column(source: DataSource, features: Mapping[str, Any]) -> str:
    typed = (name for name, feature in features.items() if holds_images(feature))
    column = _named(source, "image", source.image_column or next(typed, None), NAMES["image"], features)
    if column is None:
        raise _missing(source, "images", NAMES["image"], features, "--image-column")
    return column


def holds_images(feature: Any) -> bool:
    """Whether a feature of the `datasets` library is an image or a list of images."""
    return type(getattr(feature, "feature", feature)).__name__ == "Image"


def _missing(
    source: DataSource, what: str, usual: Sequence[str], features: Mapping[str, Any], flag: str,
    captions: Sequence[str] = (),
) -> ValueError:  # fmt: skip
    other = f" or of captions ({', '.join(captions)})" if captions else ""
    return ValueError(
        f"a data set must have a column of {what} ({', '.join(usual)}){other}, got {source.name!r} with "
        f"{', '.join(features) or 'none'}: name it by {flag}"
    )


def right_choice(value: Any, choices: Sequence[str]) -> int:
    """The place of the right option, given as index from 0, as text, or as letter. Raises ValueError."""
    index = value if isinstance(value, int) else _place(str(value).strip(), choices)
    if index is None or not 0 <= index < len(choices):
        raise ValueError(
            f"the answer must be one of {len(choices)} choices (index from 0, letter or text), got {value!r}"
        )
    return index


def _place(text: str, choices: Sequence[str]) -> int | None:
    folded = [choice.casefold() for choice in choices]
    if text.casefold() in folded:
        return folded.index(text.casefold())
    bare = text.strip("(). ").upper()
    if len(bare) == 1 and bare in ascii_uppercase:
        return ascii_uppercase.index(bare)
    return int(bare) if bare.isdigit() else None


def _texts(value: Any) -> list[str]:
    """A text, a number, a record with a text, or a list of any of these, as the texts in it."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return _texts(next((value[key] for key in TEXT_KEYS if key in value), None))
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [str(value)]
