"""Makes modules return zeros: what a skipped sub-layer adds to the residual, and how a block is probed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from workers.blocks.patch import patched


@contextmanager
def silent(module: nn.Module, extras: int = 0) -> Iterator[None]:
    """Makes a module return zeros, with as many `None` after them as it returns values beside its hidden states."""
    with silent_all((module,), extras):
        yield


@contextmanager
def silent_all(modules: tuple[nn.Module, ...], extras: int) -> Iterator[None]:
    """All of them at once, each returning as many extras."""
    with patched([(module, "forward", mute(module, extras)) for module in modules]):
        yield


def mute(module: nn.Module, extras: int = 0) -> Callable[..., Any]:
    """Zeros of the shape the module would give, without memory of their own: what a skipped sub-layer adds.

    `extras`: what the module returns beside them, `None` here.
    """
    width = getattr(module, "out_features", None)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        zeros = hidden_states.new_zeros(()).expand(*hidden_states.shape[:-1], width or hidden_states.shape[-1])
        return (zeros, *[None] * extras) if extras else zeros

    return forward
