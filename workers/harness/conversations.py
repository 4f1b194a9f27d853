"""Converts requests of lmms-eval to conversations, and conversations to batches of model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL.Image import Image

from workers.models.assistant_turn import Conversation
from workers.models.loaded_model import LoadedModel
from workers.models.processor import on_device


def from_images(text: str, visuals: Sequence[Any] | None, placeholder: str | None) -> Conversation:
    """Return a conversation of one user turn: the images of a question, then its text.

    Args:
        text: the question, as the task writes it.
        visuals: images of PIL or their paths; None for a question without images.
        placeholder: text that stands for an image in prompts of the model.

    Raises:
        ValueError: a visual is no image, or the text has placeholders of its own.
    """
    if placeholder and placeholder in text:
        raise ValueError(
            f"the text of a question must not contain {placeholder}, which stands for an image in prompts of the "
            "model: run the task without --force_simple"
        )
    return [{"role": "user", "content": [*map(_image, visuals or ()), {"type": "text", "text": text}]}]


def from_messages(messages: Sequence[dict[str, Any]]) -> Conversation:
    """Return the conversation of the messages of a task, in their order of texts and images.

    Args:
        messages: messages in the form of lmms-eval: {"role", "content"}, with {"type", "text"} and {"type", "url"}.

    Raises:
        ValueError: a message has a video or audio.
    """
    return [{"role": message["role"], "content": [*map(_part, message["content"])]} for message in messages]


def _part(content: dict[str, Any]) -> dict[str, Any]:
    if content["type"] == "text":
        return {"type": "text", "text": content["text"]}
    if content["type"] == "image":
        return _image(content["url"])
    raise ValueError(f"a question must have texts and images only, got {content['type']}: choose another task")


def _image(visual: Any) -> dict[str, Any]:
    if not isinstance(visual, Image | str):
        raise ValueError(
            f"a question must have texts and images only, got {type(visual).__name__}: choose another task"
        )
    return {"type": "image", "image": visual.convert("RGB") if isinstance(visual, Image) else visual}


def inputs(loaded: LoadedModel, conversations: Sequence[Conversation]) -> dict[str, Any]:
    """Return the model inputs of a batch of conversations, padded on the left, on the model's device.

    Args:
        loaded: the model.
        conversations: B conversations that end with a user turn.

    Raises:
        ValueError: the model has no chat template and a conversation is more than one image and a text.
    """
    encoder = loaded.prompt_encoder
    if encoder.form is not None:
        made = encoder.inputs(*zip(*map(_plain, conversations), strict=True))
    else:
        made = encoder.processor.apply_chat_template(
            list(conversations),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        )
    return on_device(dict(made), loaded.device, loaded.model.dtype)


def _plain(conversation: Conversation) -> tuple[str, Any]:
    """Return text and image of a conversation for a model without a chat template."""
    parts = conversation[0]["content"]
    if len(conversation) != 1 or [part["type"] for part in parts] != ["image", "text"]:
        raise ValueError(
            "a model without a chat template takes one image and one text per question, got "
            f"{len(conversation)} messages with {', '.join(part['type'] for part in parts)}: choose another task"
        )
    return parts[1]["text"], parts[0]["image"]
