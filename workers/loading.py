"""Loads a model once, finds its mapping module, and freezes all but what is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import nn

from spaces.names import unknown
from workers.anatomy import anatomy_of
from workers.files import checkpoint, read_config
from workers.inputs import Asker, load_processor, on_device
from workers.lora import parse_lora
from workers.mapping import find_mapping, reached_weights
from workers.probe import probe_inputs
from workers.prompts import prompt_form
from workers.replay import Replay, plan_replay
from workers.requests import ModelSource
from workers.trainable import MAPPING, Weights, choose_trainable

T = TypeVar("T")
log = logging.getLogger(__name__)
DTYPES = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


ATTENTIONS = ("sdpa", "eager")
"""Those that take the additive 4-D mask of packed questions."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its processor; only the trained weights take gradients."""

    model: Any
    processor: Any
    device: torch.device
    asker: Asker
    mapping: tuple[str, ...]
    """Paths of the modules between the vision tower and the decoder; none where a pattern says what is trained."""
    weights: Weights = field(repr=False)
    """What is trained, by name in the whole model: the mapping module unless the source says otherwise."""
    replay: Replay = field(repr=False)
    """How the frozen vision part is replayed."""

    @property
    def decoder(self) -> nn.Module:
        """The module that runs the decoder blocks."""
        return anatomy_of(self.model).decoder

    @property
    def head(self) -> nn.Module:
        """The LM head."""
        return self.model.get_output_embeddings()

    @property
    def image_tokens(self) -> frozenset[int]:
        """Token ids that stand for what the vision tower saw."""
        return anatomy_of(self.model).image_tokens

    @property
    def image_token(self) -> int:
        """The one that stands for images."""
        config = self.model.config
        return config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index

    @property
    def pad_token(self) -> int:
        """What fills up rows; any id will do where the tokenizer has none, as padding is never attended to."""
        return self.processor.tokenizer.pad_token_id or 0

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Ids that end an answer; the first is the one answers are trained with."""
        own = self.processor.tokenizer.eos_token_id
        listed = self.model.generation_config.eos_token_id
        ids = [own, *(listed if isinstance(listed, list) else [listed])]
        return tuple(dict.fromkeys(i for i in ids if i is not None))

    def answer_tokens(self, answer: str) -> tuple[int, ...]:
        """Token ids of an answer to be learned or judged, end-of-sequence token included."""
        return (*self.processor.tokenizer(answer, add_special_tokens=False).input_ids, self.end_tokens[0])


def load_model(source: ModelSource) -> LoadedModel:
    """Loads model and processor as transformers does for the folder or hub id, and finds what to train.

    Raises ValueError, before any weight is read, for a model that can't be found, takes no images or can't be asked;
    after that, for one whose decoder can't be under plans (PlanError) or that has nothing to train.
    """
    model_type = str(read_config(source).get("model_type"))
    device = pick_device(source.device)
    if source.attn_implementation not in ATTENTIONS:
        raise unknown("attention implementation", source.attn_implementation, ATTENTIONS)
    reading(source, lambda: check_takes_images(source))
    processor = reading(source, lambda: load_processor(source))
    has_template = getattr(processor, "chat_template", None) is not None
    form = None if has_template else prompt_form(model_type, source.name)
    model = reading(source, lambda: _read_weights(source)).to(device).eval().requires_grad_(False)
    return assemble(model, Asker(processor, form), source.trainable)


def assemble(model: Any, asker: Asker, trainable: str = MAPPING) -> LoadedModel:
    """A model and its processor with what is found by running them on two pictures: what to train and to replay."""
    anatomy_of(model)  # a decoder that can't be under plans is refused before anything else is tried
    batch, *alone = (on_device(each, model.device, model.dtype) for each in probe_inputs(asker))
    is_pattern = trainable != MAPPING and parse_lora(trainable) is None
    mapping = () if is_pattern else find_mapping(model, batch)
    weights = choose_trainable(model, mapping, trainable)
    if is_pattern and not reached_weights(model, batch, weights):
        raise ValueError(
            f"what is trained must have an effect on the answers, got {trainable!r} which has none: "
            "leave --trainable out for the mapping module"
        )
    replay = plan_replay(model, weights, alone, batch)
    if not replay.modules:
        log.warning("the vision tower runs in every pass: what it returns can't be replayed for this model")
    return LoadedModel(model, asker.processor, model.device, asker, mapping, weights, replay)


def check_takes_images(source: ModelSource) -> None:
    """Raises NoVision, a ValueError, for a model that transformers knows no image-text-to-text class for."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    config = AutoConfig.from_pretrained(checkpoint(source), **options)
    remote = getattr(config, "auto_map", None) or {}
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and "AutoModelForImageTextToText" not in remote:
        raise NoVision(
            f"a model must answer questions about images, got {source.name!r} of the type {config.model_type}, which "
            "transformers loads no image-text-to-text model for: take a vision-language model"
        )


class NoVision(ValueError):
    """The model takes no images."""


def _read_weights(source: ModelSource) -> Any:
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    return AutoModelForImageTextToText.from_pretrained(
        checkpoint(source),
        dtype=DTYPES[source.dtype],
        attn_implementation=source.attn_implementation,
        revision=source.revision,
        trust_remote_code=source.trust_remote_code,
    )


def reading(source: ModelSource, load: Callable[[], T]) -> T:
    """What `load` returns. Raises ValueError, in one line, where transformers can't."""
    try:
        return load()
    except (torch.OutOfMemoryError, MemoryError, NoVision):
        raise
    except Exception as error:  # broken files raise whatever their reader raises
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"a model must load with transformers, got {source.name!r} ({type(error).__name__}: {why}): "
            "save it again, or try AutoModelForImageTextToText.from_pretrained on it"
        ) from error


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU where there is one. Raises ValueError on a bad name."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu or cuda:N, got {name!r}: leave it out for auto") from error
