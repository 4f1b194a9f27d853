"""Replaces attributes of module instances, such as `forward`, and restores them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

Change = tuple[nn.Module, str, Any]
"""A module, the name of one of its instance attributes, and the value to give it."""
Forward = Callable[..., Any]
Patch = tuple[nn.Module, Forward]
"""A module and the function that replaces its `forward`."""
_ABSENT = object()


def identity(hidden_states: Tensor) -> Tensor:
    """Return the input unchanged; replaces the `forward` of a norm whose sub-layer is skipped."""
    return hidden_states


@contextmanager
def patched(changes: Iterable[Change]) -> Iterator[None]:
    """Set attributes inside the `with` block, and restore all of them at its end, also after an exception.

    An attribute that the instance did not have before is removed, so that the attribute of the class applies again.
    """
    with ExitStack() as stack:
        for module, name, value in changes:
            stack.callback(_restore, module, name, vars(module).get(name, _ABSENT))
            setattr(module, name, value)
        yield


def _restore(module: nn.Module, name: str, before: Any) -> None:
    if before is _ABSENT:
        vars(module).pop(name, None)
    else:
        setattr(module, name, before)
