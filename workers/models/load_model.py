"""Loads a model, finds its mapping module, and freezes all weights that are not trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn

from spaces.names import unknown
from workers.blocks.anatomy import anatomy_of
from workers.lora_options import parse_lora
from workers.models.attention_choice import with_attention
from workers.models.chat_template import PromptEncoder
from workers.models.loaded_model import LoadedModel
from workers.models.mapping_module import NoMapping, enclosing_module, find_mapping, reached_weights
from workers.models.meta_model import read_auto_config
from workers.models.model_files import checkpoint, read_config
from workers.models.probe_inputs import probe_inputs
from workers.models.processor import load_processor, on_device
from workers.models.prompt_forms import prompt_form
from workers.models.trainable import MAPPING, choose_trainable
from workers.models.vision_replay import plan_replay
from workers.sources import ModelSource

T = TypeVar("T")
log = logging.getLogger(__name__)
DTYPES = {
    "auto": "auto",
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


ATTENTIONS = ("sdpa", "eager")
"""Supported attention implementations: those that accept the additive 4-D mask of packed questions."""


def load_model(source: ModelSource) -> LoadedModel:
    """Load a model and its processor with transformers from a folder or hub id, and find the weights to train.

    Raises:
        ValueError: the model is not found, takes no images or has no prompt form (found before any weight is read); its
            decoder is not supported (PlanError), or there is nothing to train.
    """
    model_type = str(read_config(source).get("model_type"))
    device = pick_device(source.device)
    if source.attn_implementation not in ATTENTIONS:
        raise unknown("attention implementation", source.attn_implementation, ATTENTIONS)
    load_or_value_error(source, lambda: check_takes_images(source))
    processor = load_or_value_error(source, lambda: load_processor(source))
    has_template = getattr(processor, "chat_template", None) is not None
    form = None if has_template else prompt_form(model_type, source.name)
    model = load_or_value_error(source, lambda: _read_weights(source)).to(device).eval().requires_grad_(False)
    return assemble(model, PromptEncoder(processor, form), source.trainable)


def assemble(model: Any, prompt_encoder: PromptEncoder, trainable: str = MAPPING) -> LoadedModel:
    """Return a `LoadedModel`; the model is run on two pictures to find the weights to train and the modules to replay.

    Args:
        model: the model, in evaluation mode and frozen.
        prompt_encoder: its processor and prompt form.
        trainable: `mapping`, `lora` with its options, or comma-separated globs of weight names.

    Raises:
        ValueError: the decoder is not supported (PlanError), or the weights to train have no effect on answers.
    """
    anatomy_of(model)  # refuse an unsupported decoder before anything else
    batch, *alone = (on_device(each, model.device, model.dtype) for each in probe_inputs(prompt_encoder))
    is_pattern = trainable != MAPPING and parse_lora(trainable) is None
    mapping = _mapping_or_none(model, batch) if is_pattern else find_mapping(model, batch)
    weights = choose_trainable(model, mapping, trainable)
    if not all(name.startswith(tuple(f"{path}." for path in mapping)) for name in weights):
        mapping = enclosing_module(model, mapping, weights)
    if is_pattern and not reached_weights(model, batch, weights):
        raise ValueError(
            f"the trained weights must have an effect on the answers, got {trainable!r}, which has none: "
            "leave --trainable out for the mapping module"
        )
    replay = plan_replay(model, weights, alone, batch)
    if not replay.modules:
        log.warning("the vision tower runs in every pass, since its outputs can't be replayed for this model")
    return LoadedModel(model, prompt_encoder.processor, model.device, prompt_encoder, mapping, weights, replay)


def _mapping_or_none(model: nn.Module, batch: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return find_mapping(model, batch)
    except NoMapping:
        return ()


def check_takes_images(source: ModelSource) -> None:
    """Check that transformers has an image-text-to-text class for a model.

    Raises:
        NoVision: a ValueError; it has none.
    """
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    config = AutoConfig.from_pretrained(checkpoint(source), **options)
    remote = getattr(config, "auto_map", None) or {}
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and "AutoModelForImageTextToText" not in remote:
        raise NoVision(
            f"a model must answer questions about images, got {source.name!r} of the type {config.model_type}, for "
            "which transformers has no image-text-to-text model: take a vision-language model"
        )


class NoVision(ValueError):
    """The model takes no images."""


def _read_weights(source: ModelSource) -> Any:
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    load: Callable[..., Any] = partial(
        AutoModelForImageTextToText.from_pretrained,
        checkpoint(source),
        dtype=DTYPES[source.dtype],
        revision=source.revision,
        trust_remote_code=source.trust_remote_code,
        output_loading_info=True,
    )
    (model, found), line = with_attention(
        read_auto_config(source), source.attn_implementation, lambda kind: load(attn_implementation=kind)
    )
    _check_weights(source, found)
    if line is not None:
        log.warning("%s is loaded with %s", source.name, line)
    return model


def _check_weights(source: ModelSource, found: Mapping[str, Any]) -> None:
    """Check that the files have all weights of the model, and warn of weights that it does not use.

    Args:
        source: the model, named in the message.
        found: the loading info of transformers, with the names of missing and unexpected weights.

    Raises:
        ValueError: a weight is missing; transformers would load random numbers.
    """
    missing, unused = sorted(found.get("missing_keys", ())), sorted(found.get("unexpected_keys", ()))
    if missing:
        raise ValueError(
            f"the files must have every weight of the model, {len(missing)} are missing (the first: {missing[0]}): "
            "download it again, or correct its config.json"
        )
    if unused:
        log.warning(
            "%s has %d weights that its config does not use (the first: %s)", source.name, len(unused), unused[0]
        )


def load_or_value_error(source: ModelSource, load: Callable[[], T]) -> T:
    """Return the result of `load`, with any error of transformers turned into a ValueError of one line.

    Args:
        source: the model, named in the message.
        load: loads a part of the model.

    Raises:
        ValueError: `load` failed; NoVision and out-of-memory errors pass unchanged.
    """
    try:
        return load()
    except (torch.OutOfMemoryError, MemoryError, NoVision):
        raise
    except Exception as error:  # readers of broken files raise any kind of error
        why = " ".join(str(error).split())[:300]
        raise ValueError(
            f"a model must load with transformers, got {source.name!r} ({type(error).__name__}: {why}): "
            "save it again, or try AutoModelForImageTextToText.from_pretrained on it"
        ) from error


def pick_device(name: str) -> torch.device:
    """Return the device of a name; `auto` is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: torch has no such device type.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device must be auto, cpu or cuda:N, got {name!r}: leave it out for auto") from error
