"""Which rows of a split a model can be asked, found before a search and without weights.

Left out are rows whose text holds a placeholder for images, whose answers or options are blank, whose images the
model's processor refuses, and whose prompt has more tokens than the decoder has positions.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workers.data.load_split import load_split
from workers.data.sample import SplitData
from workers.describe import describe_model
from workers.models.families import families_of, has_rows
from workers.models.model_files import read_config
from workers.models.prompts import read_prompter
from workers.sources import DataSource, ModelSource, Split

if TYPE_CHECKING:
    from workers.data.sample import Sample

log = logging.getLogger(__name__)
PLACEHOLDERS = re.compile(r"(?:.*_)?(?:image|video|vision|audio|boi|eoi|boa|eoa)(?:_.*)?_token(?:_id|_index)?")
"""Keys of a config or processor that name tokens for images, videos and audio, and for where those begin and end."""
MOST_SIZES = 256
"""Different image sizes that are put through a processor at most, the most extreme ones first."""

Sizes = tuple[tuple[int, int], ...]
"""Width and height of every image of a question."""


@dataclass(frozen=True)
class ModelLimits:
    """What the prompts of a model may hold."""

    placeholders: frozenset[str]
    """Texts that stand for an image or a video."""
    positions: int | None
    """Tokens of prompt and answer that the decoder has positions for; None where its config doesn't say."""
    frame: int
    """Letters that its prompts have beside the question."""
    prompt_tokens: Callable[[str, int], int]
    """Tokens of a prompt about so many images, of which each is one."""
    answer_tokens: Callable[[str], int]

    def reason(self, sample: Sample, image_tokens: int | str) -> str | None:
        """Return why the model can't be asked a sample; None where it can.

        `image_tokens` are what its images add to the prompt, or why the processor refuses them.
        """
        answers = (*sample.answers, *sample.choices)
        found = next((m for m in sorted(self.placeholders) for text in (sample.question, *answers) if m in text), None)
        if found is not None:
            return f"{found} in its text stands for an image in the prompts of the model"
        if not all(answer.strip() for answer in answers):
            return "one of its answers or options is blank"
        return image_tokens if isinstance(image_tokens, str) else self._too_long(sample, answers, image_tokens)

    def _too_long(self, sample: Sample, answers: Sequence[str], image_tokens: int) -> str | None:
        if self.positions is None:
            return None
        letters = self.frame + len(sample.question.encode()) + max(len(answer.encode()) for answer in answers)
        if letters + image_tokens < self.positions:  # no token has less than a letter
            return None
        tokens = self.prompt_tokens(sample.question, len(sample.images)) + image_tokens
        tokens += max(self.answer_tokens(answer) for answer in answers)
        if tokens <= self.positions:
            return None
        return f"its prompt and answer have {tokens} tokens, and the model has {self.positions} positions"


@lru_cache(maxsize=8)
def askable_split(model: ModelSource, data: DataSource, split: Split) -> SplitData:
    """Return a split without the rows that the model can't be asked; those are counted as skipped.

    Raises ValueError, in one line, where they are more than `max_unreadable` allows, or as `load_split` does.
    """
    read = load_split(data, split)
    limits, image_tokens = _read_limits(model, read.samples)
    reasons = [limits.reason(sample, image_tokens(sample)) for sample in read.samples]
    refused = [(row, reason) for row, reason in enumerate(reasons) if reason is not None]
    if not refused:
        return read
    told = f"{len(refused)} of {len(reasons)} rows of {split!r} of {data.name!r} can't be put to {model.name!r}"
    first = f"the first: row {refused[0][0]}, {refused[0][1]}"
    if len(refused) + read.skipped > data.max_unreadable * read.rows or len(refused) == len(reasons):
        raise ValueError(
            f"at most {data.max_unreadable:.3g} of a split's rows may be left out, {told} ({first}): mend them, or "
            "allow more with --max-unreadable"
        )
    log.warning("%s and are left out (%s)", told, first)
    kept = tuple(sample for sample, reason in zip(read.samples, reasons, strict=True) if reason is None)
    return replace(read, samples=kept, skipped=read.skipped + len(refused))


def _read_limits(model: ModelSource, samples: Sequence[Sample]) -> tuple[ModelLimits, Callable[[Sample], int | str]]:
    """Return the limits of a model and the tokens that images add to its prompts."""
    config = read_config(model)
    per_image = describe_model(model).visual_tokens_per_image if has_rows(config) else None
    if per_image is None:
        return _limits_of_processor(model, samples)
    prompter = read_prompter(model)
    return ModelLimits(
        placeholders=_placeholders(config, {}, prompter.tokenizer.id_to_token),
        positions=families_of(config).text.get("max_position_embeddings"),
        frame=len(prompter.text("").encode()),
        prompt_tokens=lambda question, images: len(prompter.prompt_ids(question, images)),
        answer_tokens=lambda answer: len(prompter.answer_ids(answer)),
    ), lambda sample: len(sample.images) * (per_image - 1)


def _limits_of_processor(
    model: ModelSource, samples: Sequence[Sample]
) -> tuple[ModelLimits, Callable[[Sample], int | str]]:
    """Return the limits of a model without family rows, from its own processor."""
    from workers.models.count_on_meta import read_asker

    asker, text = read_asker(model)
    end = asker.processor.tokenizer.eos_token_id
    limits = ModelLimits(
        placeholders=_placeholders(
            read_config(model),
            {**vars(asker.processor), **vars(asker.processor.tokenizer).get("_special_tokens_map", {})},
            asker.processor.tokenizer.convert_ids_to_tokens,
        ),
        positions=getattr(text, "max_position_embeddings", None),
        frame=len(asker.text("").encode()),
        prompt_tokens=lambda question, images: len(asker.encode(asker.text(question, images))),
        answer_tokens=lambda answer: len(asker.answer_ids(answer, end)),
    )
    known = {sizes: _added_tokens(asker, sample) for sizes, sample in _extreme_sizes(samples)}
    most = max((added for added in known.values() if isinstance(added, int)), default=0)
    return limits, lambda sample: known.get(_sizes(sample), most)


def _placeholders(
    config: Mapping[str, Any], processor: Mapping[str, Any], name_of: Callable[[int], str | None]
) -> frozenset[str]:
    """Return the tokens for images that a model's config and processor name, by number or by text."""
    named = [value for part in (config, processor) for key, value in part.items() if PLACEHOLDERS.fullmatch(key)]
    found = (name_of(value) if isinstance(value, int) else value for value in named)
    return frozenset(name for name in found if isinstance(name, str) and name.strip())


def _added_tokens(asker: Any, sample: Sample) -> int | str:
    """Return the tokens that the images of a sample add to a prompt, or the error of the processor."""
    question = "?"
    images = sample.images if len(sample.images) > 1 else sample.image
    try:
        whole = asker.inputs([question], [images])["input_ids"].shape[1]
    except Exception as error:  # processors raise whatever they trip over
        shown = ", ".join(f"{width} x {height}" for width, height in _sizes(sample))
        why = " ".join(str(error).split())[:80]
        return f"the processor refuses its image of {shown} ({type(error).__name__}: {why})"
    return int(whole) - len(asker.encode(asker.text(question, len(sample.images))))


def _extreme_sizes(samples: Sequence[Sample]) -> Iterable[tuple[Sizes, Sample]]:
    """Return one sample per extreme image size: the narrowest, then the largest by area."""
    first: dict[Sizes, Sample] = {}
    for sample in samples:
        first.setdefault(_sizes(sample), sample)
    by_side = sorted(first.items(), key=lambda item: min(min(size) for size in item[0]))
    by_area = sorted(first.items(), key=lambda item: -sum(width * height for width, height in item[0]))
    return list(dict([*by_side[: MOST_SIZES // 2], *by_area[: MOST_SIZES // 2]]).items())


def _sizes(sample: Sample) -> Sizes:
    sizes = []
    for image in sample.images:
        width, height = (image.shape[1], image.shape[0]) if hasattr(image, "shape") else image.size
        sizes.append((int(width), int(height)))
    return tuple(sizes)
