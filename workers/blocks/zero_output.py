"""Makes modules return zeros, to skip sub-layers and to probe blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from workers.blocks.patch import patched


@contextmanager
def silent(module: nn.Module, extras: int = 0) -> Iterator[None]:
    """Make a module return zeros inside the `with` block.

    Args:
        module: the module.
        extras: number of values that it returns besides its hidden states; each becomes None.
    """
    with silent_all((module,), extras):
        yield


@contextmanager
def silent_all(modules: tuple[nn.Module, ...], extras: int) -> Iterator[None]:
    """Make several modules return zeros inside the `with` block, see `silent`."""
    with patched([(module, "forward", mute(module, extras)) for module in modules]):
        yield


def mute(module: nn.Module, extras: int = 0) -> Callable[..., Any]:
    """Return a `forward` that returns zeros in the shape of the module's output, as a view of one element.

    Args:
        module: the module; the width of the output is its `out_features`, or that of the input.
        extras: number of values that the module returns besides its hidden states; each becomes None.
    """
    width = getattr(module, "out_features", None)

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        zeros = hidden_states.new_zeros(()).expand(*hidden_states.shape[:-1], width or hidden_states.shape[-1])
        return (zeros, *[None] * extras) if extras else zeros

    return forward
