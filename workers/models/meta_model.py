"""A model without weights: what follows from weights has a shape only, while integers and pixels are real.

So a vision tower of any size may look at the sizes of its images, and its FLOPs are counted without being spent.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from workers.models.model_files import checkpoint
from workers.requests import ModelSource

META = torch.device("meta")
_INDEXED = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)


def weightless_model(source: ModelSource) -> nn.Module:
    """The model of a source as its config describes it, with eager attention, its weights on torch's `meta` device."""
    from transformers import AutoModelForImageTextToText

    config, options = read_auto_config(source), {"trust_remote_code": source.trust_remote_code}
    with META:
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager", **options)
    return model.eval().requires_grad_(False)  # type: ignore[no-any-return]


def read_auto_config(source: ModelSource) -> Any:
    """Return the config of a source as transformers fills it in."""
    from transformers import AutoConfig

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    return AutoConfig.from_pretrained(checkpoint(source), **options)


class Weightless(TorchDispatchMode):
    """Inside the `with`, tensors on `meta` and real ones may meet.

    An operation with one on `meta` among its inputs is run for its shapes; all others run as usual, on the CPU.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        wants_meta = "device" in kwargs and torch.device(kwargs["device"] or "cpu") == META
        if not any(isinstance(leaf, Tensor) and leaf.device == META for leaf in tree_leaves((args, kwargs))):
            if wants_meta:
                kwargs["device"] = torch.device("cpu")  # what is moved to the weights keeps its values
            return func(*args, **kwargs)
        if func.overloadpacket in _INDEXED:
            args = (args[0], _places(args[1]), *args[2:])
        if "device" in kwargs:
            kwargs["device"] = META
        return func(*tree_map(_hollow, args), **tree_map(_hollow, kwargs))


def _places(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Real masks as the indices they stand for: how many those are can't be known from a shape."""
    found: list[Tensor | None] = []
    for index in indices:
        is_mask = index is not None and index.dtype == torch.bool and index.device != META
        found += index.nonzero(as_tuple=True) if is_mask and index is not None else [index]
    return found


def _hollow(value: Any) -> Any:
    return value.to(META) if isinstance(value, Tensor) else value
