"""Reads a YAML file of settings that nobody has looked at: it is small once its aliases are written out."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 1_000_000
MOST_NODES = 100_000
"""Values of a file at most, every alias counted as all that it stands for."""


def parse_yaml(text: str) -> Any:
    """Return the value in a YAML text. Raises ValueError, at once, where it is not YAML or would explode."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"more than {MOST_CHARACTERS} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None and _size(node, {}) > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES} values once its aliases are written out")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values in a node, aliases written out."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_NODES  # a node within itself has no end
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    known[id(node)] = min(MOST_NODES + 1, 1 + sum(_size(part, known) for part in inner))
    return known[id(node)]
