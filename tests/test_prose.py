"""Docstrings use the terms of the field, and those of public functions begin with an instruction (CONTRIBUTING.md)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("spaces", "objectives", "workers", "search", "benchmarks")
COINED = re.compile(
    r"\b(dear|dearer|dearest|halves|told|asked|askable|who|whoever|nobody|anybody|somebody|lest)\b", re.I
)
NO_INSTRUCTION = {
    "a",
    "an",
    "the",
    "what",
    "which",
    "whether",
    "how",
    "where",
    "who",
    "of",
    "to",
    "at",
    "by",
    "as",
    "that",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring, those below constants and fields included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield the functions of a module and the methods of its public classes whose names are public."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for body in (tree.body, *(each.body for each in classes)):
        yield from (node for node in body if isinstance(node, Function) and not node.name.startswith("_"))


def test_docstrings_use_no_coined_words() -> None:
    found = [
        f"{file}:{line} {word[0]!r}"
        for file, tree in trees()
        for line, text in docstrings(tree)
        for word in [COINED.search(text)]
        if word
    ]
    assert not found, (
        f"docstrings must use the terms of the field (expensive, sub-layer, reported, proposed), got {found}"
    )


def test_docstrings_of_public_functions_begin_with_an_instruction() -> None:
    found = [
        f"{file}:{function.lineno} {text.splitlines()[0]!r}"
        for file, tree in trees()
        for function in public_functions(tree)
        if (text := ast.get_docstring(function))
        and (text.split()[0].strip("`,:").lower() in NO_INSTRUCTION or not text[0].isupper())
    ]
    assert not found, f"the first line must say what a call does, as in 'Return the FLOPs of a plan.', got {found}"
