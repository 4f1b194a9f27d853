"""Determines shape, visual tokens and vision FLOPs of models whose config alone does not give them.

The model is built without weights and run, with eager attention, on its processor's output up to the decoder. torch's
`FlopCounterMode` counts the FLOPs of the vision tower and the mapping module.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from objectives.workload import Workload
from spaces.kinds import BlockKind
from spaces.shape import ModelShape
from workers.blocks.anatomy import CROSS_ARGUMENT, attention_of, decoder_of, find_blocks, image_tokens_of, is_cross
from workers.data.sample import Sample
from workers.models.block_inputs import parallel_blocks
from workers.models.chat_template import PromptEncoder
from workers.models.check_flops import check_flops
from workers.models.count_blocks import active_experts, has_fused_projections
from workers.models.count_head import runs_on_whole_prompt
from workers.models.decoder_sizes import decoder_sizes
from workers.models.load_model import check_takes_images, load_or_value_error
from workers.models.mapping_module import NoMapping, find_mapping
from workers.models.meta_model import Weightless, read_auto_config, weightless_model
from workers.models.model_files import read_config
from workers.models.processor import load_processor
from workers.models.prompt_forms import prompt_form, target
from workers.sources import ModelSource

MAX_SAMPLES = 128
"""Maximum number of samples that are processed; from a larger split, evenly spaced ones are taken."""


def read_shape(source: ModelSource, bytes_per_parameter: Mapping[str, int], stored: int | None) -> ModelShape:
    """Return the shape of a model from its config and its modules, without reading weights.

    Args:
        source: the model.
        bytes_per_parameter: name of a dtype -> bytes.
        stored: number of parameters in the weight files; None if unknown.

    Raises:
        ValueError: transformers cannot build the model from its config, it takes no images, or its FLOPs have no
            closed form.
    """
    model = _model(source)
    dtype = str(model.config.dtype or "float32") if source.dtype == "auto" else source.dtype
    size = bytes_per_parameter[dtype.removeprefix("torch.")]
    try:
        return shape_without_weights(model, size, stored)
    except ValueError:
        raise
    except Exception as error:  # decoders of other forms lack any attribute
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"a model must have a decoder of pre-norm blocks over token embeddings, got {source.name!r} with "
            f"{type(error).__name__} ({why}): take another model"
        ) from error


def shape_without_weights(model: Any, bytes_per_parameter: int, stored: int | None) -> ModelShape:
    """Return the shape of a model without weights.

    Args:
        model: a model without weights (`meta_model`), with eager attention.
        bytes_per_parameter: bytes per parameter.
        stored: number of parameters in the weight files; None to count those of the model.

    Raises:
        ValueError: the FLOPs of the decoder can't be counted, or its blocks are not supported (PlanError).
    """
    text = model.config.get_text_config()
    blocks = find_blocks(model)[1]
    sizes, is_ordinary = decoder_sizes(text, list(blocks))
    caches = DynamicCache(config=text).layers
    kinds = tuple(
        BlockKind(
            window=_window(cache),
            is_parallel=is_parallel,
            is_cross=is_cross(block),
            active_ffn_weights=_active_weights(block, text),
            has_fused_projections=has_fused_projections(block),
            **_parameters(block),
        )
        for block, cache, is_parallel in zip(blocks, caches, parallel_blocks(model), strict=True)
    )
    shape = ModelShape(
        **asdict(sizes),
        vision=None,
        projector=(),
        visual_tokens_per_image=None,
        bytes_per_parameter=bytes_per_parameter,
        num_parameters=stored or sum(weight.numel() for weight in model.parameters()),
        kinds=kinds,
        tie_embeddings=model.get_output_embeddings().weight is model.get_input_embeddings().weight,
    )
    return check_flops(model, shape, is_ordinary)


def read_prompt_encoder(source: ModelSource) -> tuple[PromptEncoder, Any]:
    """Return the `PromptEncoder` of a model and the config of its decoder.

    Raises:
        ValueError: processor or config cannot be loaded, or the model has no prompt form.
    """
    processor = load_or_value_error(source, lambda: load_processor(source))
    has_template = getattr(processor, "chat_template", None) is not None
    form = None if has_template else prompt_form(str(read_config(source).get("model_type")), source.name)
    return PromptEncoder(processor, form), load_or_value_error(
        source, lambda: read_auto_config(source)
    ).get_text_config()


def read_workload(source: ModelSource, samples: Sequence[Sample]) -> Workload:
    """Return the mean workload of at most `MAX_SAMPLES` samples, as the processor of the model prepares them.

    Args:
        source: the model.
        samples: at least one sample.

    Raises:
        ValueError: the model cannot be loaded without weights, or its processor cannot be loaded.
    """
    prompt_encoder, _ = read_prompt_encoder(source)
    end = prompt_encoder.processor.tokenizer.eos_token_id
    model = _model(source)
    counter = _VisionCounter(model)
    step = -(-len(samples) // MAX_SAMPLES)
    asked = [prompt_encoder.inputs([each.question], [each.images]) for each in islice(samples, 0, None, step)]
    counted = [counter.count(inputs) for inputs in asked]
    visual, text, vision, mapping, cross = (fmean(column) for column in zip(*counted, strict=True))
    return Workload(
        visual_tokens=visual,
        text_tokens=text,
        generated_tokens=fmean(len(prompt_encoder.answer_ids(target(sample), end)) for sample in samples),
        images=fmean(len(sample.images) for sample in samples),
        cross_tokens=cross,
        vision_flops=vision,
        projector_flops=mapping,
        extra_head_rows=visual + text - 1 if runs_on_whole_prompt(model, asked[0]) else 0,
    )


def _model(source: ModelSource) -> nn.Module:
    load_or_value_error(source, lambda: check_takes_images(source))
    return load_or_value_error(source, lambda: weightless_model(source))


def _window(cache: Any) -> int | None:
    """Return the sliding window of a layer's KV cache; None if it keeps all tokens."""
    return cache.sliding_window if cache.is_sliding else None


def _active_weights(block: nn.Module, text: Any) -> int | None:
    """Return the number of FFN weights that a row is multiplied with in a mixture of experts; None for a dense FFN."""
    ffn = [child for child in block.children() if child is not attention_of(block)]
    weights = [weight for child in ffn for weight in child.parameters() if weight.ndim > 1]
    stacked = sum(weight.numel() // len(weight) for weight in weights if weight.ndim == 3)
    if not stacked:
        return None
    return active_experts(text) * stacked + sum(weight.numel() for weight in weights if weight.ndim == 2)


def _parameters(block: nn.Module) -> dict[str, Any]:
    """Return the number of parameters per sub-layer of a block; norms are divided equally between the two."""
    sizes = [(child, sum(weight.numel() for weight in child.parameters())) for child in block.children()]
    norms = sum(size for child, size in sizes if all(weight.ndim <= 1 for weight in child.parameters()))
    attention = sum(size for child, size in sizes if hasattr(child, "layer_idx"))
    rest = sum(size for _, size in sizes) - norms - attention
    return {"attention_parameters": attention + norms // 2, "ffn_parameters": rest + norms // 2}


class _Reached(Exception):
    """Ends a run on entry to the decoder, after everything before it has been counted."""

    def __init__(self, features: int) -> None:
        self.features = features
        """Rows of image features that the decoder receives for cross-attention."""


class _VisionCounter:
    """Counts the FLOPs of a model without weights before its decoder, once per combination of input sizes."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._image_tokens = torch.tensor(sorted(image_tokens_of(model.config)))
        self._known: dict[Hashable, tuple[int, int, int]] = {}
        self._mapping: list[nn.Module] | None = None

    def count(self, inputs: Mapping[str, Any]) -> tuple[int, int, int, int, int]:
        """Return the counts for one sequence.

        Returns:
            Visual tokens, other tokens, FLOPs of the vision tower, FLOPs of the mapping module, and rows of image
            features for cross-attention.
        """
        ids = inputs["input_ids"]
        visual = int(torch.isin(ids, self._image_tokens).sum())
        key = tuple(sorted((name, _sizes(value)) for name, value in inputs.items() if not name.endswith("ids")))
        if key not in self._known:
            self._known[key] = self._run(inputs)
        return visual, ids.numel() - visual, *self._known[key]

    def _run(self, inputs: Mapping[str, Any]) -> tuple[int, int, int]:
        counter = FlopCounterMode(display=False)
        noted = _noted(self._model, counter, self._mapping_modules(inputs))
        features = 0
        with torch.no_grad(), Weightless(), counter, noted as mapping:
            try:
                self._model(**inputs)
            except _Reached as end:
                features = end.features
        return counter.get_total_flops() - sum(mapping), sum(mapping), features

    def _mapping_modules(self, inputs: Mapping[str, Any]) -> list[nn.Module]:
        if self._mapping is None:
            self._mapping = mapping_modules(self._model, inputs)
        return self._mapping


def _sizes(value: Any) -> Hashable:
    """Return a hashable key of an input: the shape of a tensor and, if it is short (such as a grid), its values."""
    if not isinstance(value, Tensor):
        return str(value)
    return (tuple(value.shape), tuple(value.flatten().tolist()) if value.numel() < 32 else ())


@contextmanager
def _noted(model: nn.Module, counter: FlopCounterMode, mapping: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Stop the model before its decoder, and yield a list that collects the FLOPs of the mapping modules."""
    spent: list[int] = []

    def begin(*_: Any) -> None:
        spent.append(-counter.get_total_flops())

    def end(*_: Any) -> None:
        spent[-1] += counter.get_total_flops()

    def stop(_: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        features = kwargs.get(CROSS_ARGUMENT)
        raise _Reached(0 if features is None else features.shape[:-1].numel())  # (tiles, patches, width)

    with ExitStack() as hooks:
        for module in mapping:
            hooks.callback(module.register_forward_pre_hook(begin).remove)
            hooks.callback(module.register_forward_hook(end).remove)
        hooks.callback(decoder_of(model).register_forward_pre_hook(stop, with_kwargs=True).remove)
        yield spent


def mapping_modules(model: nn.Module, inputs: Mapping[str, Any]) -> list[nn.Module]:
    """Return the modules of the mapping module of a model without weights.

    A `ModuleList`, which is never called itself, is replaced by its items. The result is empty if there is no weight
    between vision tower and decoder; all FLOPs before the decoder then count as those of the vision tower.

    Args:
        model: a model without weights (`meta_model`).
        inputs: keyword arguments of the model for one question.
    """
    try:
        with Weightless():
            paths = find_mapping(model, inputs)
    except NoMapping:
        return []
    found = [model.get_submodule(path) for path in paths]
    return [part for each in found for part in (each if isinstance(each, nn.ModuleList) else [each])]
