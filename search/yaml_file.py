"""Reads YAML safely: rejects files that are too large once their aliases are expanded."""

from __future__ import annotations

from typing import Any

import yaml

MAX_CHARACTERS = 1_000_000
"""Maximum number of characters of a file."""
MAX_NODES = 100_000
"""Maximum number of values of a file, with aliases expanded."""


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        ValueError: the text is not YAML, is too long, or has too many values once its aliases are expanded.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _size(node, {}) > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} values once its aliases are expanded")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values in a node, with aliases expanded; at most `MAX_NODES + 1`."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MAX_NODES  # a node that contains itself is infinite
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    known[id(node)] = min(MAX_NODES + 1, 1 + sum(_size(part, known) for part in inner))
    return known[id(node)]
