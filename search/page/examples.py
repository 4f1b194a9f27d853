"""Section "Answers": questions with their images, and the answers of the dense model and of a suggested plan."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, cast

from search.analysis.samples import AnsweredQuestion
from search.page.run_facts import RunFacts
from search.page.section import Command, Example, Examples, Piece, Section, Text

LOST, GAINED = 6, 3
"""Number of questions that only the dense model, and only the plan, answers right."""
LARGEST = 224
"""Longest side of a shown image in pixels."""
SMALL = 64
"""Longest side of an image up to which it is kept without loss."""
LONGEST = 240
"""Maximum number of characters of a question or an answer."""


def examples(run: RunFacts) -> Section:
    """Return the section."""
    return Section("answers", "What it answers", list(_pieces(run)))


def _pieces(run: RunFacts) -> Iterator[Piece]:
    first = [run.first_choice] if run.first_choice else []
    chosen = next((choice.record for choice in [*first, *run.choices] if run.answered(choice.record)), None)
    if chosen is None:
        yield Text("No answers of a suggested plan are stored yet.")
        return
    answered, number = run.answered(chosen), chosen.trial.number
    lost = [each for each in answered if each.score < each.dense_score]
    gained = [each for each in answered if each.score > each.dense_score]
    yield Text(
        f"Of {len(answered)} questions of the {answered[0].split} split, the dense model answers {len(lost)} better "
        f"than trial {number}, and trial {number} {len(gained)} better than the dense model."
    )
    shown = [*lost[:LOST], *gained[:GAINED]]
    if shown:
        images = images_of(run, shown)
        if not any(images):
            yield Text("The images can't be read on this machine, so questions are shown without them.")
        yield Examples([example_of(each, image) for each, image in zip(shown, images, strict=True)])
    yield Command(f"python -m search.report {run.where} --samples 20 --trial {number}", "See more of them:")


def example_of(answered: AnsweredQuestion, image: str) -> Example:
    """Return a question as it is shown.

    Args:
        answered: the question with its answers.
        image: its image as a data URL; empty for none.
    """
    return Example(
        image=image,
        question=_cut(answered.question),
        kind=answered.kind,
        accepted=_cut(" | ".join(dict.fromkeys(answered.accepted))),
        dense=_cut(answered.dense_answer),
        dense_right=answered.dense_score > answered.score,
        plan=_cut(answered.answer),
        plan_right=answered.score > answered.dense_score,
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def images_of(run: RunFacts, shown: Sequence[AnsweredQuestion]) -> list[str]:
    """Return the first image of every question as a data URL, empty where the data set can't be read any more."""
    from workers.data.load_split import load_split
    from workers.sources import DataSource, Split

    try:
        source = DataSource.model_validate(run.summary["settings"]["dataset"])
        samples = load_split(source, cast(Split, shown[0].split)).samples
        return [_data_url(samples[int(each.question_id.rpartition("-")[2])].image) for each in shown]
    except (ValueError, IndexError, OSError):
        return [""] * len(shown)


def _data_url(image: Any) -> str:
    from PIL import Image

    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture = picture.convert("RGB")
    lossless = max(picture.size) <= SMALL
    picture.thumbnail((LARGEST, LARGEST))
    data = BytesIO()
    picture.save(data, format="PNG" if lossless else "JPEG", quality=82)
    return f"data:image/{'png' if lossless else 'jpeg'};base64,{b64encode(data.getvalue()).decode()}"
