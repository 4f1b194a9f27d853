"""Loads the processor of a model, and places its tensors on a device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import torch

from workers.models.model_files import checkpoint
from workers.sources import ModelSource

VIDEO = "video_processor"
"""Name of the attribute of a processor that processes videos."""
NO_VIDEO = SimpleNamespace(num_frames=None, fps=None)
"""Replacement for a missing video processor; SmolVLM's processor reads these fields for each prompt."""


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
