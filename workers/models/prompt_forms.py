"""Defines what a prompt is: a conversation for the chat template, or the text of a family without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.models.assistant_turn import AssistantTurn, Conversation

if TYPE_CHECKING:
    from workers.data.sample import Sample

PROBE_QUESTION = "What is this?"
"""Question with which a template is rendered to find the text around answers."""


@dataclass(frozen=True)
class PromptForm:
    """The prompt of a family without a chat template."""

    given: str
    """Text passed to the processor."""
    read: str
    """Text into which the processor converts it, with one placeholder per image."""
    lead: str
    """Text between that and the answer."""
    end: str = ""
    """Text after the answer, up to and including the end-of-turn token; empty if the end token follows directly."""

    @property
    def turn(self) -> AssistantTurn:
        """Return the text around an answer."""
        return AssistantTurn(self.read.format(question=PROBE_QUESTION), self.lead, self.end)


_GOT_OCR2 = (
    "<|im_start|>system\nYou should follow the instructions carefully and explain your answers in detail.<|im_end|>"
    "<|im_start|>user\n<img><imgpad></img>\n{question}<|im_end|><|im_start|>assistant\n"
)
PROMPT_FORMS = {
    "paligemma": PromptForm("<image>answer en {question}", "<image><bos>answer en {question}\n", ""),
    "blip-2": PromptForm("Question: {question} Answer:", "<image>Question: {question} Answer:", " "),
    "instructblip": PromptForm("Question: {question} Short answer:", "<image>Question: {question} Short answer:", " "),
    "got_ocr2": PromptForm(_GOT_OCR2, _GOT_OCR2, "", "<|im_end|>"),
}
"""`model_type` -> its form for visual questions: Beyer et al. 2024 (arXiv 2407.07726, section 3.2.5), Li et al. 2023
(arXiv 2301.12597, section 4.2), Dai et al. 2023 (arXiv 2305.06500, appendix), and the prompt that transformers'
`GotOcr2Processor` writes."""


def prompt_form(model_type: str, name: str) -> PromptForm:
    """Return the prompt form of a model without a chat template.

    Args:
        model_type: `model_type` of its config.
        name: name of the model, for the message.

    Raises:
        ValueError: the family has no prompt form.
    """
    if model_type not in PROMPT_FORMS:
        raise ValueError(
            f"a model must have a chat template, got {name!r} without one: put chat_template.jinja into its folder"
        )
    return PROMPT_FORMS[model_type]


def conversation(question: str, *images: Any) -> Conversation:
    """Return a conversation of one user turn: the images, then the question.

    Args:
        question: the question.
        *images: per image, the picture, or None for a placeholder; by default one placeholder.
    """
    parts = [{"type": "image"} if image is None else {"type": "image", "image": image} for image in images or (None,)]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def check_one_image(images: int) -> None:
    """Raise ValueError for a prompt about several images, which needs a chat template."""
    if images > 1:
        raise ValueError(
            f"a model without a chat template takes one image per question, got {images}: take a model with a "
            "template, or name one column of images with --image-column"
        )


def target(sample: Sample) -> str:
    """Return the answer of a sample that is used for training and for counting generated tokens."""
    return sample.answers[0]
