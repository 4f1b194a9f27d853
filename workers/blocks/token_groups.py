"""Assigns each row of a forward pass to a token group (visual, text, generated), for plans with scopes.

The groups are determined once per forward pass, on entry to the decoder, by the first rule that applies:

1. Inside `with token_groups(groups): ...`, groups are the given (B, T) codes. Packed questions use this.
2. Inside `model.generate` the prompt is known. Rows of the prompt are visual if they hold an image token, else text;
   rows after the prompt are generated. This holds with and without KV cache, for beams and for a chunked prompt.
3. In a call of the whole model with an empty KV cache, the rows of `input_ids` belong to the prompt up to the first
   label that is not -100; the others are generated. With a filled cache all rows are generated.

Padding may be in any group, because nothing attends to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from spaces.scope import Group, Scope
from workers.blocks.patch import patched

CODES = {group: code for code, group in enumerate(Group)}
"""Token group -> its code in tensors."""
IGNORED = -100
"""Label of positions without a target, the default `ignore_index` of torch's cross-entropy."""
_GIVEN: ContextVar[Tensor | None] = ContextVar("token groups of the next forward pass", default=None)


@contextmanager
def token_groups(groups: Tensor) -> Iterator[None]:
    """Set the token groups of the rows for model calls inside the `with` block.

    Args:
        groups: (B, T) integer codes of `CODES`.
    """
    before = _GIVEN.set(groups)
    try:
        yield
    finally:
        _GIVEN.reset(before)


def prompt_groups(input_ids: Tensor, image_tokens: Collection[int], labels: Tensor | None = None) -> Tensor:
    """Return the group codes of a prompt and, if labels are given, of the answer that follows it.

    Args:
        input_ids: (B, T) integer token ids.
        image_tokens: ids of image placeholders.
        labels: (B, T) target ids; rows from the first label that is not -100 on are generated.

    Returns:
        (B, T) int64 codes of `CODES`.
    """
    is_image = torch.isin(input_ids, torch.tensor(list(image_tokens), device=input_ids.device))
    groups = torch.where(is_image, CODES[Group.VISUAL], CODES[Group.TEXT])
    if labels is None:
        return groups
    answered = (labels.to(input_ids.device) != IGNORED).cumsum(-1) > 0
    return groups.masked_fill(answered, CODES[Group.GENERATED])


@dataclass(frozen=True)
class Rows:
    """The N rows of a forward pass outside a scope, which run the block as usual."""

    inside: Tensor
    """(B, T) bool, True for rows in scope."""
    flat: Tensor
    """(N,) index of each row outside into the B x T rows of the pass."""
    column: Tensor
    """(B, Q) column of each row outside; shorter sequences repeat their last one."""
    place: Tensor
    """(N,) index of each row outside into the B x Q entries of `column`."""

    @classmethod
    def outside(cls, inside: Tensor) -> Rows:
        """Return the rows for which `inside`, (B, T) bool, is False."""
        batch, column = (~inside).nonzero(as_tuple=True)
        counts = (~inside).sum(-1)
        slot = torch.arange(len(batch), device=inside.device) - (counts.cumsum(0) - counts)[batch]
        width = int(counts.max()) if len(counts) else 0
        last = (~inside * torch.arange(inside.shape[1], device=inside.device)).amax(-1)
        table = last[:, None].repeat(1, width).index_put((batch, slot), column)
        return cls(inside, batch * inside.shape[1] + column, table, batch * width + slot)

    @property
    def none_run(self) -> bool:
        """Return True if every row is in scope, so that none runs."""
        return not len(self.flat)

    @property
    def all_run(self) -> bool:
        """Return True if no row is in scope, so that all run."""
        return len(self.flat) == self.inside.numel()


@dataclass
class Watch:
    """Tracks the token groups of the current forward pass of one model."""

    image_tokens: frozenset[int]
    _groups: Tensor | None = None
    """(B, T) codes of this pass."""
    _prompt: Tensor | None = None
    """(B, P) codes of the prompt of the current `generate` call."""
    _called: Tensor | None = None
    """(B, T) codes of the current call of the whole model."""
    past: int = 0
    """Number of tokens in the KV cache before this pass."""
    _rows: dict[Scope, Rows] = field(default_factory=dict)

    def rows(self, scope: Scope) -> Rows:
        """Return the rows of this pass that are outside a scope, computed once per pass."""
        if scope not in self._rows:
            assert self._groups is not None, "blocks run inside the decoder, which settles the groups"
            inside = torch.zeros_like(self._groups, dtype=torch.bool)
            for group in scope.groups:
                inside |= self._groups == CODES[group]
            self._rows[scope] = Rows.outside(inside)
        return self._rows[scope]

    @contextmanager
    def on(self, model: nn.Module, decoder: nn.Module, cache_argument: str) -> Iterator[None]:
        """Track the calls of the model, of its `generate` and of its decoder, inside the `with` block.

        Args:
            model: the model.
            decoder: its decoder.
            cache_argument: keyword under which both receive the KV cache.
        """
        names = signature(model.forward).bind_partial
        with ExitStack() as stack:

            def whole(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._called = self._of_call(names(*args, **kwargs).arguments, cache_argument)

            def done(module: nn.Module, args: Any, output: Any) -> None:
                self._called = None

            def entered(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._settle(kwargs, cache_argument)

            for handle in (
                model.register_forward_pre_hook(whole, with_kwargs=True),
                model.register_forward_hook(done, always_call=True),
                decoder.register_forward_pre_hook(entered, with_kwargs=True),
            ):
                stack.callback(handle.remove)
            generate = getattr(model, "generate", None)
            if generate is not None:
                stack.enter_context(patched([(model, "generate", self._watched(generate))]))
            yield

    def _watched(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        names = signature(generate).bind_partial

        @wraps(generate)
        def watched(*args: Any, **kwargs: Any) -> Any:
            ids = kwargs.get("input_ids")
            if ids is None:  # positional; families with their own `generate` name it differently
                ids = names(*args, **kwargs).arguments.get("inputs")
            self._prompt = None if ids is None else prompt_groups(ids, self.image_tokens)
            try:
                return generate(*args, **kwargs)
            finally:
                self._prompt = None

        return watched

    def _of_call(self, arguments: dict[str, Any], cache_argument: str) -> Tensor | None:
        ids, cache = arguments.get("input_ids"), arguments.get(cache_argument)
        if ids is None:
            return None
        if _length(cache):
            return torch.full_like(ids, CODES[Group.GENERATED])
        return prompt_groups(ids, self.image_tokens, arguments.get("labels"))

    def _settle(self, arguments: dict[str, Any], cache_argument: str) -> None:
        fed = arguments.get("inputs_embeds")
        fed = arguments["input_ids"] if fed is None else fed
        batch, num_rows = fed.shape[:2]
        self.past = _length(arguments.get(cache_argument))
        groups = _GIVEN.get()
        if groups is None and self._prompt is not None:
            groups = self._of_generate(self._prompt, batch, num_rows, self.past)
        if groups is None:
            groups = self._called
        if groups is None or tuple(groups.shape) != (batch, num_rows):
            got = "none" if groups is None else f"groups for {tuple(groups.shape)}"
            raise ValueError(
                f"a plan with scopes must know the token groups of all {batch} x {num_rows} rows fed, got {got}: "
                "pass input_ids, or call inside workers.blocks.token_groups.token_groups"
            )
        self._groups, self._rows = groups.to(fed.device), {}

    @staticmethod
    def _of_generate(prompt: Tensor, batch: int, num_rows: int, past: int) -> Tensor:
        """Return the (batch, num_rows) codes of the rows from `past` on; prompts are repeated for their beams."""
        known = prompt.repeat_interleave(max(batch // len(prompt), 1), dim=0)[:, past : past + num_rows]
        fresh = known.new_full((len(known), num_rows - known.shape[1]), CODES[Group.GENERATED])
        return torch.cat([known, fresh], dim=1)


def _length(cache: Any) -> int:
    """Return the number of tokens in a KV cache."""
    return 0 if cache is None else int(cache.get_seq_length())
