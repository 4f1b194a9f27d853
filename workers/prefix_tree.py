"""Runs many plans on the same batch, and computes once what several of them have in common.

Plans are the paths of a tree: a node is the state after some blocks, an edge is a block of a plan. They are run depth
first. A plan starts from the deepest state that it shares with the plan before it: the blocks up to there are not run,
and their part of the KV cache is the stored one. At the node where plans part, the outputs of attention and FFN are
stored, for the ops that run them on the same input.

Only prefills are shared: the first pass of the decoder under each plan. Nothing is computed in another way than for a
plan alone, so the results are equal to the bit, for all ops, scopes, prunings and families. The order of the plans
decides what is stored: a state is kept only while a plan that needs it is to come.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from spaces.plan import Block, Op, Plan, Scope
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import Parts, anatomy_of, cache_argument
from workers.blocks.patch import Change, Forward, patched
from workers.pruning.inputs import PruningInputs

MAX_BYTES = 2**31
"""Default limit of the bytes of stored states; beyond it, deeper states are computed again."""
_READS_INPUT = (Op.SKIP_ATTN, Op.PARALLEL)
_READS_ATTENDED = (Op.KEEP, Op.PAIR)


class _Stored(NamedTuple):
    """The output of a sub-layer, and the layer of the KV cache after it."""

    output: Any
    layer: Any


def tree_order(plans: Sequence[Plan]) -> list[int]:
    """Return the indices of plans in depth-first order: plans with the same first blocks are neighbors."""
    return sorted(range(len(plans)), key=lambda index: [block.name for block in plans[index].blocks])


def shared_blocks(one: Plan, other: Plan) -> int:
    """Return the number of first blocks that two plans share; both blocks of a pair count, or neither."""
    number = 0
    for mine, theirs in zip(one.blocks, other.blocks, strict=True):
        if mine != theirs:
            break
        number += 1
    return number - 1 if number and one.blocks[number - 1].op is Op.PAIR else number


class PrefixTree:
    """The stored states of one batch under the plans that have run so far."""

    def __init__(self, model: nn.Module, plans: Sequence[Plan], max_bytes: int = MAX_BYTES) -> None:
        """Prepare a traversal; no plan may be applied to the model.

        Args:
            model: a supported model of transformers.
            plans: one or more, in any order.
            max_bytes: limit of the bytes of stored states.
        """
        self.model, self.plans, self.max_bytes = model, plans, max_bytes
        self.order = tree_order(plans)
        """Order in which `under` must be called."""
        self.blocks_run = 0
        """Number of blocks that were run in prefills, for tests and benchmarks."""
        shared = [shared_blocks(plans[one], plans[other]) for one, other in pairwise(self.order)]
        self._shared_with_next = dict(zip(self.order, [*shared, 0], strict=True))
        # The states that later plans start from have the running minima of the shared depths.
        self._branches = {index: set(accumulate(shared[number:], min)) for number, index in enumerate(self.order)}
        self._anatomy = anatomy_of(model)
        self._states: dict[int, Tensor] = {}
        """Number of blocks -> hidden states after them."""
        self._layers: dict[int, Any] = {}
        """Block -> its layer of the KV cache."""
        self._outputs: dict[int, dict[object, _Stored]] = {}
        """Block -> what its sub-layers returned for the state before it."""
        self._plan: Plan | None = None
        """The plan that ran last, or runs."""
        self._in_prefill = False

    @contextmanager
    def under(self, index: int, inputs: PruningInputs | None = None) -> Iterator[None]:
        """Apply a plan to the model inside the `with` block; its first pass of the decoder uses stored states.

        Every `with` block must run the same batch.

        Args:
            index: index of the plan; the calls must follow `order`, from which plans may be left out.
            inputs: norms and masks for pruned blocks.

        Raises:
            PlanError: as in `apply_plan`.
        """
        self._start = self._deepest_stored(self.plans[index])
        self._plan = self.plans[index]
        self._end, self._needed = self._shared_with_next[index], self._branches[index]
        with patched(self._sub_layers(self._plan)), apply_plan(self.model, self._plan, inputs), patched(self._blocks()):
            self._in_prefill = True
            ended = self._anatomy.decoder.register_forward_hook(self._end_prefill, always_call=True)
            try:
                yield
            finally:
                self._in_prefill = False
                ended.remove()

    def _deepest_stored(self, plan: Plan) -> int:
        """Drop the states of other plans and return the depth of the deepest one that is left."""
        shared = 0 if self._plan is None else shared_blocks(self._plan, plan)
        for stored, last in ((self._states, shared), (self._outputs, shared), (self._layers, shared - 1)):
            for depth in [depth for depth in stored if depth > last]:
                del stored[depth]
        return max(self._states, default=0)

    def _end_prefill(self, *_: Any) -> None:
        self._in_prefill = False

    def _blocks(self) -> Iterator[Change]:
        """Yield the changes that skip blocks before the stored state, and store states."""
        for index, parts in enumerate(self._anatomy.parts):
            yield parts.block, "forward", self._block(index, parts.block)

    def _block(self, index: int, block: nn.Module) -> Forward:
        run, cached = block.forward, cache_argument(block)

        @wraps(run)
        def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            if not self._in_prefill:
                return run(hidden_states, *args, **kwargs)
            cache = kwargs.get(cached)
            if not _can_be_stored(cache):
                self._end = -1
            if index < self._start:
                _put_layer(cache, index, self._layers.get(index))
                return self._states[self._start].clone() if index + 1 == self._start else hidden_states
            self.blocks_run += 1
            output = run(hidden_states, *args, **kwargs)
            if index < self._end:
                self._store(index, output, _layer(cache, index))
            return output

        return forward

    def _store(self, index: int, output: Tensor, layer: Any) -> None:
        """Store what the next plans need of a block; nothing deeper if memory is used up."""
        self._layers[index] = layer
        if index + 1 in self._needed:
            self._states[index + 1] = output.clone()  # families may change it in place between blocks
        if self._bytes() > self.max_bytes:
            self._end = index + 1

    def _sub_layers(self, plan: Plan) -> Iterator[Change]:
        """Yield the changes that store and reuse outputs of attention and FFN at nodes where plans part."""
        for index in (self._needed | self._outputs.keys()) - {len(plan)}:
            block, parts = plan.blocks[index], self._anatomy.parts[index]
            if block.op is Op.PAIRED or (block.op is not Op.PAIR and block.scope is not Scope.ALL):
                continue
            yield parts.attention, "forward", self._sub_layer(index, parts.attention, ("attention", block.pruning))
            reads = _read_by_ffn(block, parts)
            for number, module in enumerate(parts.ffn if reads else ()):
                yield module, "forward", self._sub_layer(index, module, (number, reads, block.pruning))

    def _sub_layer(self, index: int, module: nn.Module, key: tuple[object, ...]) -> Forward:
        run: Callable[..., Any] = module.forward
        cached = cache_argument(module)

        @wraps(run)
        def forward(*args: Any, **kwargs: Any) -> Any:
            if not self._in_prefill:
                return run(*args, **kwargs)
            known, cache = self._outputs.setdefault(index, {}), kwargs.get(cached)
            if key in known:
                _put_layer(cache, index, known[key].layer)
                return known[key].output
            output = run(*args, **kwargs)
            if index in self._needed and index <= self._end:
                known[key] = _Stored(output, _layer(cache, index))
            return output

        return forward

    def _bytes(self) -> int:
        """Return the bytes of all stored tensors; layers of the cache are counted once per block."""
        layers = [*self._layers.values(), *(each.layer for known in self._outputs.values() for each in known.values())]
        tensors = [*self._states.values()]
        tensors += [each for layer in {id(layer): layer for layer in layers}.values() for each in _tensors(layer)]
        outputs = [each.output for known in self._outputs.values() for each in known.values()]
        tensors += [each for output in outputs for each in (output if isinstance(output, tuple) else (output,))]
        return sum(each.nbytes for each in tensors if isinstance(each, Tensor))


def _read_by_ffn(block: Block, parts: Parts) -> str | None:
    """Return `input` or `attended`, whichever the FFN reads under this op, or None if no other op shares it."""
    if block.op in _READS_INPUT or (parts.is_parallel and block.op in _READS_ATTENDED):
        return "input"
    return "attended" if block.op in _READS_ATTENDED else None


def _can_be_stored(cache: Any) -> bool:
    return cache is None or isinstance(cache, DynamicCache)


def _layer(cache: Any, index: int) -> Any:
    """Return a copy of a layer of the KV cache, which shares its tensors; None if there is no such layer.

    Layers of `DynamicCache` replace their tensors and don't change them.
    """
    return None if cache is None or index >= len(cache.layers) else copy.copy(cache.layers[index])


def _put_layer(cache: Any, index: int, layer: Any) -> None:
    """Put a copy of a stored layer into a KV cache; nothing happens without a cache."""
    if cache is None or layer is None:
        return
    while len(cache.layers) <= index:
        cache.layers.append(cache.layer_class_to_replicate())
    cache.layers[index] = copy.copy(layer)


def _tensors(layer: Any) -> list[Any]:
    return [getattr(layer, "keys", None), getattr(layer, "values", None)]
