"""Leaves out the rows of a split that a model can't process; determined before a search, without weights.

These are rows whose text contains the model's placeholder for images, with a blank answer or option, with images that
the processor rejects, or with more tokens in prompt and answer than the decoder has positions.
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
from workers.models.chat_template import Prompter, read_prompter
from workers.models.llava_config import LlavaConfig, is_llava
from workers.models.model_files import read_config
from workers.sources import DataSource, ModelSource, Split

if TYPE_CHECKING:
    from workers.data.sample import Sample

log = logging.getLogger(__name__)
PLACEHOLDERS = re.compile(r"(?:.*_)?(?:image|video|vision|audio|boi|eoi|boa|eoa)(?:_.*)?_token(?:_id|_index)?")
"""Keys, of a config or processor, of tokens that stand for images, videos or audio, or for their beginning or end."""
MAX_SIZES = 256
"""Maximum number of image sizes that are tried with the processor, the most extreme ones first."""

Sizes = tuple[tuple[int, int], ...]
"""(width, height) of each image of a question, in pixels."""


@dataclass(frozen=True)
class ModelLimits:
    """The limits of a model on its samples."""

    placeholders: frozenset[str]
    """Texts that stand for an image, a video or audio in a prompt."""
    positions: int | None
    """Maximum number of tokens of prompt and answer together; None if the config does not give it."""
    frame: int
    """Number of bytes of a prompt besides the question."""
    prompt_tokens: Callable[[str, int], int]
    """(question, number of images) -> number of tokens of the prompt, each image counted as one."""
    answer_tokens: Callable[[str], int]
    """Answer -> number of its tokens."""

    def reason(self, sample: Sample, image_tokens: int | str) -> str | None:
        """Return why the model can't process a sample; None if it can.

        Args:
            sample: the sample to check.
            image_tokens: number of tokens that its images add to the prompt, or the reason why the processor rejects
                them.
        """
        answers = (*sample.answers, *sample.choices)
        found = next((m for m in sorted(self.placeholders) for text in (sample.question, *answers) if m in text), None)
        if found is not None:
            return f"its text contains {found}, which stands for an image in prompts of the model"
        if not all(answer.strip() for answer in answers):
            return "one of its answers or options is blank"
        return image_tokens if isinstance(image_tokens, str) else self._too_long(sample, answers, image_tokens)

    def _too_long(self, sample: Sample, answers: Sequence[str], image_tokens: int) -> str | None:
        if self.positions is None:
            return None
        letters = self.frame + len(sample.question.encode()) + max(len(answer.encode()) for answer in answers)
        if letters + image_tokens < self.positions:  # a token has at least one byte
            return None
        tokens = self.prompt_tokens(sample.question, len(sample.images)) + image_tokens
        tokens += max(self.answer_tokens(answer) for answer in answers)
        if tokens <= self.positions:
            return None
        return f"its prompt and answer have {tokens} tokens, and the model has {self.positions} positions"


@lru_cache(maxsize=8)
def usable_split(model: ModelSource, data: DataSource, split: Split) -> SplitData:
    """Return a split without the rows that the model can't process, which are counted as skipped.

    Args:
        model: the model.
        data: the data set.
        split: name of the split.

    Raises:
        ValueError: more rows than `max_unreadable` allows are left out, or an error of `load_split`; one line.
    """
    read = load_split(data, split)
    limits, image_tokens = _read_limits(model, read.samples)
    reasons = [limits.reason(sample, image_tokens(sample)) for sample in read.samples]
    refused = [(row, reason) for row, reason in enumerate(reasons) if reason is not None]
    if not refused:
        return read
    count = f"{len(refused)} of {len(reasons)} rows of {split!r} of {data.name!r} can't be processed by {model.name!r}"
    first = f"the first: row {refused[0][0]}, {refused[0][1]}"
    if len(refused) + read.skipped > data.max_unreadable * read.rows or len(refused) == len(reasons):
        raise ValueError(
            f"at most {data.max_unreadable:.3g} of a split's rows may be left out, {count} ({first}): correct them, or "
            "allow more with --max-unreadable"
        )
    log.warning("%s and are left out (%s)", count, first)
    kept = tuple(sample for sample, reason in zip(read.samples, reasons, strict=True) if reason is None)
    return replace(read, samples=kept, skipped=read.skipped + len(refused))


def _read_limits(model: ModelSource, samples: Sequence[Sample]) -> tuple[ModelLimits, Callable[[Sample], int | str]]:
    """Return the limits of a model, and a function that gives the `image_tokens` of a sample for them."""
    config = read_config(model)
    per_image = describe_model(model).visual_tokens_per_image if is_llava(config) else None
    if per_image is None:
        return _limits_of_processor(model, samples)
    prompter = read_prompter(model)
    _check_placeholder(model, config, prompter)
    return ModelLimits(
        placeholders=_placeholders(config, {}, prompter.tokenizer.id_to_token),
        positions=LlavaConfig.of(config).text.get("max_position_embeddings"),
        frame=len(prompter.text("").encode()),
        prompt_tokens=lambda question, images: len(prompter.prompt_ids(question, images)),
        answer_tokens=lambda answer: len(prompter.answer_ids(answer)),
    ), lambda sample: len(sample.images) * (per_image - 1)


def _check_placeholder(model: ModelSource, config: Mapping[str, Any], prompter: Prompter) -> None:
    """Raise ValueError unless the prompt of a LLaVA model has its placeholder once per image."""
    token = config.get("image_token_index", config.get("image_token_id"))
    found = prompter.prompt_ids("?").count(token) if token is not None else 1
    if found != 1:
        raise ValueError(
            f"a prompt must have the image token {token} of config.json once per image, that of {model.name!r} has it "
            f"{found} times: correct chat_template.jinja or the config"
        )


def _limits_of_processor(
    model: ModelSource, samples: Sequence[Sample]
) -> tuple[ModelLimits, Callable[[Sample], int | str]]:
    """Return the result of `_read_limits` for a model other than LLaVA, determined with its processor."""
    from workers.models.count_on_meta import read_prompt_encoder

    prompt_encoder, text = read_prompt_encoder(model)
    end = prompt_encoder.processor.tokenizer.eos_token_id
    limits = ModelLimits(
        placeholders=_placeholders(
            read_config(model),
            {
                **vars(prompt_encoder.processor),
                **vars(prompt_encoder.processor.tokenizer).get("_special_tokens_map", {}),
            },
            prompt_encoder.processor.tokenizer.convert_ids_to_tokens,
        ),
        positions=getattr(text, "max_position_embeddings", None),
        frame=len(prompt_encoder.text("").encode()),
        prompt_tokens=lambda question, images: len(prompt_encoder.encode(prompt_encoder.text(question, images))),
        answer_tokens=lambda answer: len(prompt_encoder.answer_ids(answer, end)),
    )
    known = {sizes: _added_tokens(prompt_encoder, sample) for sizes, sample in _extreme_sizes(samples)}
    most = max((added for added in known.values() if isinstance(added, int)), default=0)
    return limits, lambda sample: known.get(_sizes(sample), most)


def _placeholders(
    config: Mapping[str, Any], processor: Mapping[str, Any], name_of: Callable[[int], str | None]
) -> frozenset[str]:
    """Return the placeholders of a model, as text.

    Args:
        config: config of the model, which gives tokens as ids.
        processor: attributes of processor and tokenizer, which give tokens as ids or as text.
        name_of: token id -> text.
    """
    named = [value for part in (config, processor) for key, value in part.items() if PLACEHOLDERS.fullmatch(key)]
    found = (name_of(value) if isinstance(value, int) else value for value in named)
    return frozenset(name for name in found if isinstance(name, str) and name.strip())


def _added_tokens(prompt_encoder: Any, sample: Sample) -> int | str:
    """Return the number of tokens that the images of a sample add to a prompt, or the error of the processor."""
    question = "?"
    images = sample.images if len(sample.images) > 1 else sample.image
    try:
        whole = prompt_encoder.inputs([question], [images])["input_ids"].shape[1]
    except Exception as error:  # processors have no common exception
        shown = ", ".join(f"{width} x {height}" for width, height in _sizes(sample))
        why = " ".join(str(error).split())[:80]
        return f"the processor rejects its image of {shown} ({type(error).__name__}: {why})"
    return int(whole) - len(prompt_encoder.encode(prompt_encoder.text(question, len(sample.images))))


def _extreme_sizes(samples: Sequence[Sample]) -> Iterable[tuple[Sizes, Sample]]:
    """Return (image sizes, a sample with these) of the narrowest images and of those with the largest area."""
    first: dict[Sizes, Sample] = {}
    for sample in samples:
        first.setdefault(_sizes(sample), sample)
    by_side = sorted(first.items(), key=lambda item: min(min(size) for size in item[0]))
    by_area = sorted(first.items(), key=lambda item: -sum(width * height for width, height in item[0]))
    return list(dict([*by_side[: MAX_SIZES // 2], *by_area[: MAX_SIZES // 2]]).items())


def _sizes(sample: Sample) -> Sizes:
    sizes = []
    for image in sample.images:
        width, height = (image.shape[1], image.shape[0]) if hasattr(image, "shape") else image.size
        sizes.append((int(width), int(height)))
    return tuple(sizes)
