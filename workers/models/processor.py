"""Converts questions about images to model inputs, with the processor of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch

from workers.models.assistant_turn import AssistantTurn, Conversation, find_turn
from workers.models.model_files import checkpoint
from workers.models.prompts import PROBE_QUESTION, PromptForm, check_one_image, conversation
from workers.sources import ModelSource

VIDEO = "video_processor"
"""Name of the attribute of a processor that processes videos."""
NO_VIDEO = SimpleNamespace(num_frames=None, fps=None)
"""Replacement for a missing video processor; SmolVLM's processor reads these fields for each prompt."""


@dataclass(frozen=True)
class PromptEncoder:
    """A processor and its prompt form."""

    processor: Any
    form: PromptForm | None
    """Prompt of a family without a chat template; None to apply the chat template of the processor."""

    def prompt(self, question: str, images: int = 1) -> Conversation | str:
        """Return the prompt for the processor: a conversation for its chat template, or a text."""
        if self.form is None:
            return conversation(question, *[None] * images)
        check_one_image(images)
        return self.form.given.format(question=question)

    @cached_property
    def turn(self) -> AssistantTurn:
        """Return the text around an answer."""
        if self.form is not None:
            return self.form.turn
        tokenizer = self.processor.tokenizer
        added = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        return find_turn(self._render, conversation(PROBE_QUESTION), {*added, *tokenizer.all_special_tokens})

    def _render(self, messages: Conversation, generation_prompt: bool) -> str:
        return self.processor.apply_chat_template(messages, add_generation_prompt=generation_prompt)  # type: ignore[no-any-return]

    def text(self, question: str, images: int = 1) -> str:
        """Return a prompt as text, with one placeholder per image."""
        if self.form is not None:
            return self.form.read.format(question=question)
        return self._render(conversation(question, *[None] * images), True)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens added."""
        return self.processor.tokenizer(text, add_special_tokens=False).input_ids  # type: ignore[no-any-return]

    def answer_ids(self, answer: str, end_token: int) -> tuple[int, ...]:
        """Return the token ids of an answer that follows the prompt, including the end of turn.

        Args:
            answer: the answer text.
            end_token: id that ends the turn if the chat template writes no end-of-turn token.
        """
        return self.turn.ids(self.encode, answer, end_token)

    def inputs(self, questions: Sequence[str], images: Sequence[Any]) -> dict[str, Any]:
        """Return the model inputs of a batch of questions, padded on the left.

        Args:
            questions: B questions.
            images: per question one image, or a tuple of several.

        Returns:
            Keyword arguments of the model: `input_ids` and `attention_mask` (B, T), pixels and others.

        Raises:
            ValueError: a question is about several images and the model has no chat template.
        """
        shown = [each if isinstance(each, tuple) else (each,) for each in images]
        padding = {"padding": True, "padding_side": "left"}
        if self.form is not None:
            texts = [self.prompt(question, len(each)) for question, each in zip(questions, shown, strict=True)]
            made = self.processor(images=[image for (image,) in shown], text=texts, return_tensors="pt", **padding)
        else:
            made = self.processor.apply_chat_template(
                [conversation(question, *each) for question, each in zip(questions, shown, strict=True)],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs=padding,
            )
        return {name: value for name, value in made.items() if name != "labels"}  # PaliGemma's makes some


def on_device(inputs: dict[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return the tensors of a batch on a device, floating-point ones in the given dtype; drop all other values."""
    return {
        name: value.to(device, dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }


def load_processor(source: ModelSource) -> Any:
    """Return the processor of a model; if torchvision is not installed, without its video processor."""
    from transformers import AutoProcessor
    from transformers.utils import is_torchvision_available

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    with nullcontext() if is_torchvision_available() else images_only():
        processor = AutoProcessor.from_pretrained(checkpoint(source), **options)
    if not is_torchvision_available() and VIDEO in processor.get_attributes():
        processor.video_processor = NO_VIDEO
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token  # batches need one; it is never attended to
    return processor


@contextmanager
def images_only() -> Iterator[None]:
    """Make transformers create processors without a video processor, inside the `with` block.

    A video processor of transformers 5 needs torchvision. Processor classes that require one receive None.
    """
    from transformers import ProcessorMixin

    own = {name: vars(ProcessorMixin)[name] for name in ("__init__", "get_attributes", "from_args_and_dict")}
    attributes, make = own["get_attributes"].__func__, own["from_args_and_dict"].__func__

    def place_of(cls: Any) -> int | None:
        return attributes(cls).index(VIDEO) if VIDEO in attributes(cls) else None

    def without_video(cls: Any, /) -> list[str]:
        return [name for name in attributes(cls) if name != VIDEO]

    def with_none(cls: Any, /, args: list[Any], processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        place = place_of(cls)
        given = {name: value for name, value in processor_dict.items() if name != VIDEO}
        return make(cls, args if place is None else [*args[:place], None, *args[place:]], given, **kwargs)

    def without_none(self: Any, /, *args: Any, **kwargs: Any) -> None:
        place = place_of(type(self))
        if place is not None and args[place : place + 1] == (None,):
            args = (*args[:place], *args[place + 1 :])  # the remaining ones are matched to the other attributes
        own["__init__"](self, *args, **kwargs)

    changed: dict[str, Any] = {
        "__init__": without_none,
        "get_attributes": classmethod(without_video),
        "from_args_and_dict": classmethod(with_none),
    }
    for name, method in changed.items():
        setattr(ProcessorMixin, name, method)
    try:
        yield
    finally:
        for name, method in own.items():
            setattr(ProcessorMixin, name, method)
