"""Runs the frozen vision tower once per image, records its outputs, and replays them in later passes.

The replayed modules are found by running the model: the largest modules outside the decoder whose outputs depend on no
trained weight. Of their outputs, only tensors that the inputs of the decoder depend on are stored; the others become
placeholders of the same shape without memory. Outputs are recorded per image and concatenated along the first axis for
a batch, if that gives the same logits as the plain model on two test pictures; otherwise they are recorded per batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from workers.blocks.anatomy import anatomy_of, embeddings_of
from workers.blocks.patch import patched
from workers.models.decoder_inputs import decoder_inputs, weighted_sum
from workers.models.mapping_module import trainable

Call = tuple[str, int]
"""Path of a module, and the number of its call in one pass, from 0."""


@dataclass(frozen=True)
class Placeholder:
    """Replacement for a recorded tensor that is never read: zeros without memory."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def tensor(self) -> Tensor:
        """Return zeros of the shape, a view of one element."""
        return torch.zeros((), dtype=self.dtype, device=self.device).expand(self.shape)


@dataclass(frozen=True)
class Returned:
    """The recorded output of one call as a flattened tree; a leaf is a tensor, a placeholder or any other value."""

    leaves: tuple[Any, ...]
    spec: TreeSpec

    def value(self, device: torch.device) -> Any:
        """Return the output in its original structure, with its tensors on a device."""
        leaves = [
            leaf.tensor() if isinstance(leaf, Placeholder) else leaf.to(device) if isinstance(leaf, Tensor) else leaf
            for leaf in self.leaves
        ]
        return tree_unflatten(leaves, self.spec)


Recording = dict[Call, Returned]
"""Outputs of all calls of the replayed modules in one pass."""


@dataclass(frozen=True)
class Replay:
    """The modules of the frozen vision part of a model that are replayed."""

    model: nn.Module
    modules: tuple[str, ...] = ()
    """Paths of the replayed modules; empty if every pass runs the vision tower."""
    read: frozenset[tuple[Call, int]] = frozenset()
    """(call, leaf index) of outputs that the inputs of the decoder depend on."""
    known: frozenset[Call] = field(default_factory=frozenset)
    """Calls observed when `read` was found; of other calls all leaves are stored."""
    per_image: bool = False
    """True if recordings of single images can be joined to that of a batch; False if each batch is recorded."""

    def record(self, inputs: Mapping[str, Any]) -> Recording:
        """Run the model on `inputs` up to its decoder and return the outputs of the replayed modules."""
        made: Recording = {}

        def note(call: Call, output: Any) -> Any:
            leaves, spec = tree_flatten(output)
            keep = [call not in self.known or (call, index) in self.read for index in range(len(leaves))]
            made[call] = Returned(tuple(map(_kept, leaves, keep)), spec)
            return output

        with torch.inference_mode(False), torch.no_grad(), _calls(self.model, self.modules, note):
            decoder_inputs(self.model, inputs)
        return made

    @contextmanager
    def put_in(self, recording: Recording) -> Iterator[None]:
        """Make the replayed modules return a recording, for one pass of the model inside the `with` block."""
        device = next(self.model.parameters()).device
        players = [
            (self.model.get_submodule(path), "forward", _player(path, recording, device)) for path in self.modules
        ]
        with patched(players):
            yield


def _player(path: str, recording: Recording, device: torch.device) -> Any:
    calls = count()

    def forward(*args: Any, **kwargs: Any) -> Any:
        return recording[path, next(calls)].value(device)

    return forward


def _kept(leaf: Any, keep: bool) -> Any:
    if not isinstance(leaf, Tensor):
        return leaf
    if keep or not leaf.is_floating_point():
        return leaf.detach().clone().cpu()
    return Placeholder(leaf.shape, leaf.dtype, leaf.device)


def join(recordings: Sequence[Recording]) -> Recording:
    """Return the recording of a batch from those of its images: tensors are concatenated along their first axis."""
    return {
        call: Returned(
            tuple(_joined([each[call].leaves[i] for each in recordings]) for i in range(len(first.leaves))), first.spec
        )
        for call, first in recordings[0].items()
    }


def _joined(leaves: Sequence[Any]) -> Any:
    first = leaves[0]
    if isinstance(first, Tensor) and first.ndim:
        return torch.cat(list(leaves))
    if isinstance(first, Placeholder) and first.shape:
        rows = sum(leaf.shape[0] for leaf in leaves)
        return Placeholder(torch.Size((rows, *first.shape[1:])), first.dtype, first.device)
    return first


def sketch(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs with all pixels of an image replaced by 1, those of padding by 0, without using memory.

    Modules around the replayed ones read the shape of the pixels, and some models detect padding by all-zero pixels.
    """
    return {
        name: _sketch(value) if name.startswith("pixel_") and value.ndim > 1 else value
        for name, value in inputs.items()
    }


def _sketch(pixels: Tensor) -> Tensor:
    own = min(2, pixels.ndim - 1)
    some = (pixels != 0).flatten(own).any(-1).to(pixels.dtype)
    return some.view(*some.shape, *[1] * (pixels.ndim - own)).expand(pixels.shape)


def plan_replay(
    model: nn.Module, weights: Mapping[str, nn.Parameter], alone: Sequence[Mapping[str, Any]], batch: Mapping[str, Any]
) -> Replay:
    """Return a replay that was checked to give the same logits as the plain model on two pictures.

    Args:
        model: the model.
        weights: trained weights by name.
        alone: inputs of one question per picture, each a batch of one.
        batch: inputs of another question per picture, as one batch.

    Returns:
        The replay; one without modules, which replays nothing, if no replay gives the same logits.
    """
    with trainable(model, weights):
        paths, read, known = _frozen_calls(model, batch)
        for per_image in (True, False):
            replay = Replay(model, paths, read, known, per_image)
            if paths and _is_exact(replay, alone, batch):
                return replay
    return Replay(model)


def _frozen_calls(
    model: nn.Module, batch: Mapping[str, Any]
) -> tuple[tuple[str, ...], frozenset[tuple[Call, int]], frozenset[Call]]:
    """Return the paths of frozen modules, the leaves of their outputs that are read, and their calls."""
    depends: dict[str, bool] = {}

    def watch(call: Call, output: Any) -> Any:
        leaves = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
        depends[call[0]] = depends.get(call[0], not leaves) or any(leaf.requires_grad for leaf in leaves)
        return output

    with torch.enable_grad(), _calls(model, [path for path, _ in model.named_modules() if path], watch):
        decoder_inputs(model, batch)
    text = {anatomy_of(model).decoder, *embeddings_of(model)}
    paths = tuple(_largest(model, "", {path for path, found in depends.items() if not found}, text))
    leaves: dict[tuple[Call, int], Tensor] = {}
    known: set[Call] = set()

    def cut(call: Call, output: Any) -> Any:
        known.add(call)
        parts, spec = tree_flatten(output)
        for index, part in enumerate(parts):
            if isinstance(part, Tensor) and part.is_floating_point():
                parts[index] = leaves[call, index] = part.detach().requires_grad_(True)
        return tree_unflatten(parts, spec)

    with torch.enable_grad(), _calls(model, paths, cut):
        total = weighted_sum(decoder_inputs(model, batch))
    gradients = torch.autograd.grad(total, list(leaves.values()), allow_unused=True) if leaves else ()
    read = {place for place, gradient in zip(leaves, gradients, strict=True) if gradient is not None}
    return paths, frozenset(read), frozenset(known)


def _largest(module: nn.Module, path: str, frozen: set[str], text: set[nn.Module]) -> Iterator[str]:
    """Yield the paths of the largest frozen modules with weights, except those of `text` and their children."""
    for name, child in module.named_children():
        below = f"{path}.{name}".lstrip(".")
        if child in text:
            continue
        if below in frozen and any(True for _ in child.parameters()) and text.isdisjoint(child.modules()):
            yield below
        else:
            yield from _largest(child, below, frozen, text)


@contextmanager
def _calls(model: nn.Module, paths: Sequence[str], note: Any) -> Iterator[None]:
    """Replace the output of each call of these modules by `note(call, output)`, inside the `with` block."""
    with ExitStack() as hooks:
        for path in paths:
            numbers = count()

            def seen(module: nn.Module, args: Any, output: Any, path: str = path, numbers: Any = numbers) -> Any:
                return note((path, next(numbers)), output)

            hooks.callback(model.get_submodule(path).register_forward_hook(seen).remove)
        yield


@torch.no_grad()
def _is_exact(replay: Replay, alone: Sequence[Mapping[str, Any]], batch: Mapping[str, Any]) -> bool:
    """Return True if the logits of the batch with replayed vision modules equal those of the plain model."""
    try:
        recording = join([replay.record(each) for each in alone]) if replay.per_image else replay.record(batch)
        plain = replay.model(**batch).logits
        with replay.put_in(recording):
            played = replay.model(**sketch(batch)).logits
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError):
        return False  # recordings per image cannot be joined
    return played.shape == plain.shape and close(played, plain)


def close(one: Tensor, other: Tensor) -> bool:
    """Return True if two tensors are equal up to rounding.

    The tolerance is the square root of the dtype's epsilon times the largest magnitude in `other`. Differences from
    another order of summation are far below it.
    """
    line = torch.finfo(other.dtype).eps ** 0.5 * float(other.abs().amax())
    return bool((one.float() - other.float()).abs().amax() <= line)
