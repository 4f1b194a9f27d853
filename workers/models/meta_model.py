"""Builds models without weights: tensors that depend on weights have only a shape; token ids and pixels have values.

The vision tower can therefore read the sizes of its images, and FLOPs are counted without computing them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from workers.models.model_files import checkpoint
from workers.sources import ModelSource

META = torch.device("meta")
"""Torch's device for tensors with a shape but no values."""
_INDEXED = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)


def weightless_model(source: ModelSource) -> nn.Module:
    """Return the model that the config of a source describes, on torch's `meta` device, with eager attention."""
    from transformers import AutoModelForImageTextToText

    config, options = read_auto_config(source), {"trust_remote_code": source.trust_remote_code}
    with META:
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager", **options)
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def read_auto_config(source: ModelSource) -> Any:
    """Return the config of a source with the defaults of its transformers class."""
    from transformers import AutoConfig

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    return AutoConfig.from_pretrained(checkpoint(source), **options)


class Weightless(TorchDispatchMode):
    """Allows operations on `meta` tensors and real tensors together, inside the `with` block.

    An operation with an input on `meta` computes only shapes; all others run as usual on the CPU.
    """

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        wants_meta = "device" in kwargs and torch.device(kwargs["device"] or "cpu") == META
        if not any(isinstance(leaf, Tensor) and leaf.device == META for leaf in tree_leaves((args, kwargs))):
            if wants_meta:
                kwargs["device"] = torch.device("cpu")  # tensors moved to the device of the weights keep their values
            return func(*args, **kwargs)
        if func.overloadpacket in _INDEXED:
            args = (args[0], _places(args[1]), *args[2:])
        if "device" in kwargs:
            kwargs["device"] = META
        return func(*tree_map(_hollow, args), **tree_map(_hollow, kwargs))


def _places(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Return the indices with real boolean masks replaced by integers, whose number is the size of the result."""
    found: list[Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype == torch.bool and index.device != META
        found += index.nonzero(as_tuple=True) if is_mask and index is not None else [index]
    return found


def _hollow(value: Any) -> Any:
    return value.to(META) if isinstance(value, Tensor) else value
