"""Determines shape and workload of a model without reading its weights.

Dry runs and the FLOPs of plans need no weights. A LLaVA is described without torch, by `workers.models.llava_config`;
any other model is built without weights, by `workers.models.count_on_meta`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from objectives.sparsity import kept_weights
from objectives.workload import Workload
from spaces.plan import PlanError
from spaces.shape import ModelShape
from workers.fingerprints import fingerprint
from workers.models.chat_template import read_prompter
from workers.models.llava_config import LlavaConfig, is_llava
from workers.models.model_files import read_config, weight_files
from workers.models.prompt_forms import target
from workers.pruning.files import read_weights
from workers.requests import TrialRequest
from workers.sources import ModelSource

if TYPE_CHECKING:
    from workers.data.sample import Sample

__all__ = ["check_fit", "describe_model", "describe_workload", "fingerprint", "load_notes"]

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
"""Dtype -> bytes per parameter."""


def describe_model(source: ModelSource) -> ModelShape:
    """Return the shape of a model from its config; parameters are counted if its weights are local.

    Raises:
        ValueError: the model can't be found, takes no images or has an unsupported decoder, or its mask file has
            another number of blocks.
    """
    shape = _shape_without_masks(source)
    if source.masks is None:
        return shape
    weights = read_weights(Path(source.masks))
    if len(weights) != shape.num_blocks:
        raise ValueError(
            f"masks must have as many blocks as the model, {shape.num_blocks}, got {len(weights)} in "
            f"{source.masks}: make masks of this model with python -m workers.pruning"
        )
    return replace(shape, saved_weights=weights)


def _shape_without_masks(source: ModelSource) -> ModelShape:
    config = read_config(source)
    if not is_llava(config):
        from workers.models.count_on_meta import read_shape

        return read_shape(source, BYTES, _count_parameters(source))
    llava = LlavaConfig.of(config)
    dtype = source.dtype if source.dtype != "auto" else _stored_dtype(llava)
    return llava.shape(BYTES[dtype], _count_parameters(source))


def load_notes(source: ModelSource) -> list[str]:
    """Return one line per point in which loading or exporting a model will differ from the request.

    Raises:
        ValueError: the model can't be built from its config.
    """
    config = read_config(source)
    if is_llava(config) and "auto_map" not in config:
        return []
    from workers.models.load_notes import notes_without_weights

    return notes_without_weights(source)


def describe_workload(source: ModelSource, samples: Sequence[Sample]) -> Workload:
    """Return the mean token counts of samples, the default workload of the FLOPs.

    Generated tokens include the end of the turn. The tokens of a LLaVA are counted with its tokenizer, those of other
    models with their processor (`workers.models.count_on_meta`).

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("a workload needs at least one sample, got none: check the data set's split")
    visual_tokens = describe_model(source).visual_tokens_per_image if is_llava(read_config(source)) else None
    if visual_tokens is None:
        from workers.models.count_on_meta import read_workload

        return read_workload(source, samples)
    prompter = read_prompter(source)
    images = [len(sample.images) for sample in samples]
    text_tokens = [
        len(prompter.prompt_ids(sample.question, number)) - number
        for sample, number in zip(samples, images, strict=True)
    ]
    return Workload(
        visual_tokens=visual_tokens * fmean(images),
        images=fmean(images),
        text_tokens=fmean(text_tokens),
        generated_tokens=fmean(len(prompter.answer_ids(target(sample))) for sample in samples),
    )


def check_fit(shape: ModelShape, request: TrialRequest) -> None:
    """Check that a request fits a model of this shape.

    Raises:
        PlanError: the plan has another number of blocks.
        ValueError: the plan prunes by a mask file that the model lacks, or tuning steps decrease from rung to rung.
    """
    plan = request.plan
    if len(plan) != shape.num_blocks:
        raise PlanError(
            f"a plan must have as many blocks as the model, {shape.num_blocks}, got {len(plan)} in '{plan}': "
            "write one character per block"
        )
    for index, block in enumerate(plan.blocks):
        kept_weights(shape, block, index)
    steps = [rung.tuning_steps for rung in request.rungs]
    if steps != sorted(steps):
        raise ValueError(f"tuning_steps must not decrease from rung to rung, got {steps}: count them from the start")


def _stored_dtype(llava: LlavaConfig) -> str:
    """Return the dtype that `auto` loads: that of the config, else of the text config, else float32."""
    names = (part.get(key) for part in (llava.whole, llava.text) for key in ("dtype", "torch_dtype"))
    return next((name for name in names if name in BYTES), "float32")


def _count_parameters(source: ModelSource) -> int | None:
    """Return the number of stored parameters from the headers of the weight files; tied weights count once."""
    total = 0
    for path in weight_files(source):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        total += sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    return total or None
