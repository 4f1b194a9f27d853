"""Runs the frozen vision tower once an image: what its modules hand on is recorded, and put back in later passes.

Which modules those are is found by running the model: the largest ones outside of the decoder that hold no trainable
weight and whose outputs depend on none. Of what they return, only what the decoder's inputs have a gradient for is
kept; the rest becomes a placeholder of the same shape that takes no memory. Recorded per image, joined along the first
axis for a batch, where that gives the logits of the plain batch on a trial pair of pictures; per batch where it
doesn't.
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

from workers.blocks.anatomy import anatomy_of
from workers.blocks.patch import patched
from workers.models.decoder_inputs import decoder_inputs, weighted_sum
from workers.models.mapping_module import trainable

Call = tuple[str, int]
"""Path of a module, and which of its calls in one pass, from 0."""


@dataclass(frozen=True)
class Placeholder:
    """Stands for a tensor nobody reads: zeros without memory."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def tensor(self) -> Tensor:
        return torch.zeros((), dtype=self.dtype, device=self.device).expand(self.shape)


@dataclass(frozen=True)
class Returned:
    """What one call returned, taken apart; a leaf is a tensor, a placeholder, or any other value."""

    leaves: tuple[Any, ...]
    spec: TreeSpec

    def value(self, device: torch.device) -> Any:
        leaves = [
            leaf.tensor() if isinstance(leaf, Placeholder) else leaf.to(device) if isinstance(leaf, Tensor) else leaf
            for leaf in self.leaves
        ]
        return tree_unflatten(leaves, self.spec)


Recording = dict[Call, Returned]


@dataclass(frozen=True)
class Replay:
    """How the frozen vision part of a model is replayed."""

    model: nn.Module
    modules: tuple[str, ...] = ()
    """Paths of the modules that are replayed; none where every pass runs the tower."""
    read: frozenset[tuple[Call, int]] = frozenset()
    """Leaves of what they return that the decoder's inputs depend on."""
    known: frozenset[Call] = field(default_factory=frozenset)
    """Calls that were seen when `read` was found; of others all leaves are kept."""
    per_image: bool = False

    def record(self, inputs: Mapping[str, Any]) -> Recording:
        """Runs the model on `inputs` until its decoder is entered."""
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
        """Inside the `with`, one pass of the model reads the recording in place of its frozen vision modules."""
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
    """One recording of several: tensors one after another along their first axis."""
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
    """The inputs with pixels reduced to where there are any, in the same shape: what is around the tower reads shapes.

    Some models tell padding from pictures by pixels that are all zero.
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
    """How to replay a model whose `weights` train, proven on two pictures.

    `batch` asks a question about each, `alone` another question about each, picture by picture. What can't be
    replayed with the logits of the plain model is not: the answer is then a `Replay` of no modules.
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
    """Paths of frozen modules, the leaves of their outputs that are read, and their calls."""
    depends: dict[str, bool] = {}

    def watch(call: Call, output: Any) -> Any:
        leaves = [leaf for leaf in tree_flatten(output)[0] if isinstance(leaf, Tensor)]
        depends[call[0]] = depends.get(call[0], not leaves) or any(leaf.requires_grad for leaf in leaves)
        return output

    with torch.enable_grad(), _calls(model, [path for path, _ in model.named_modules() if path], watch):
        decoder_inputs(model, batch)
    text = {anatomy_of(model).decoder, model.get_output_embeddings(), model.get_input_embeddings()}
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


def _largest(module: nn.Module, path: str, frozen: set[str], text: set[nn.Module | None]) -> Iterator[str]:
    """Paths of the largest frozen modules that hold weights; `text` and what it holds is left out."""
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
    """Inside the `with`, `note(call, output)` sees every call of these modules and says what it returns."""
    with ExitStack() as hooks:
        for path in paths:
            numbers = count()

            def seen(module: nn.Module, args: Any, output: Any, path: str = path, numbers: Any = numbers) -> Any:
                return note((path, next(numbers)), output)

            hooks.callback(model.get_submodule(path).register_forward_hook(seen).remove)
        yield


@torch.no_grad()
def _is_exact(replay: Replay, alone: Sequence[Mapping[str, Any]], batch: Mapping[str, Any]) -> bool:
    """Whether the logits of the batch are the plain model's when its vision part is replayed."""
    try:
        recording = join([replay.record(each) for each in alone]) if replay.per_image else replay.record(batch)
        plain = replay.model(**batch).logits
        with replay.put_in(recording):
            played = replay.model(**sketch(batch)).logits
    except (RuntimeError, ValueError, KeyError, IndexError, TypeError):
        return False  # what is recorded image by image can't be joined
    return played.shape == plain.shape and close(played, plain)


def close(one: Tensor, other: Tensor) -> bool:
    """Equal up to rounding: within the square root of the dtype's epsilon, of the largest value.

    Sums taken in another order stay well below that, another formula doesn't.
    """
    line = torch.finfo(other.dtype).eps ** 0.5 * float(other.abs().amax())
    return bool((one.float() - other.float()).abs().amax() <= line)
