"""Prose in code uses the terms of the field, and docstrings describe the signature (CONTRIBUTING.md)."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("spaces", "objectives", "workers", "search", "benchmarks")
COINED = re.compile(
    r"\b(dear|dearer|dearest|halves|told|asked|askable|who|whoever|nobody|anybody|somebody|lest|mends?|mended)\b", re.I
)
RATE = re.compile(
    r"\b(one|rows?|seconds|lines?|bytes|gates?|columns?|points?|draws?|entry|entries) an? "
    r"(trial|plan|rung|question|answer|sequence|token|block|layer|row|image|objective|proposal|step|seed|worker)\b"
)
"""A rate with "a" instead of "per"."""
WORD_LISTS = ("objectives/vqa.py",)
"""Modules with lists of English words, whose texts are not checked."""
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
LONGEST = 45
"""Largest number of lines of a function, docstring included."""
ENTRY = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):(.*)", re.M)
"""An argument or several, or an exception, and the first line of its description."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees() -> tuple[tuple[str, str, ast.Module], ...]:
    """Return path, source and syntax tree of every module."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    texts = ((str(file.relative_to(ROOT)), file.read_text()) for file in files)
    return tuple((file, text, ast.parse(text)) for file, text in texts)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and text of each docstring, those below constants and fields included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


@cache
def prose() -> tuple[tuple[str, str], ...]:
    """Return place and text of each docstring, comment, and string with a space: error texts, help, documents."""
    found = []
    for file, source, tree in trees():
        found += [(f"{file}:{line}", text) for line, text in docstrings(tree)]
        tokens = tokenize.generate_tokens(io.StringIO(source).readline) if "#" in source else ()
        found += [(f"{file}:{each.start[0]}", each.string) for each in tokens if each.type == tokenize.COMMENT]
        if file not in WORD_LISTS:
            texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
            found += [(f"{file}:{node.lineno}", str(node.value)) for node in texts if " " in str(node.value)]
    return tuple(dict.fromkeys(found))


def functions(tree: ast.Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield the functions of a module and the methods of its public classes whose names are public."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    for body in (tree.body, *(each.body for each in classes)):
        yield from (node for node in body if isinstance(node, Function) and not node.name.startswith("_"))


def section(function: Function, title: str) -> list[tuple[str, str]]:
    """Return names and descriptions of the entries of a section of a docstring, such as `Args`."""
    _, _, rest = f"\n{ast.get_docstring(function) or ''}".partition(f"\n{title}:\n")
    lines = re.split(r"\n(?! |\n)", rest)[0]
    return [(name.strip("*"), text.strip()) for names, text in ENTRY.findall(lines) for name in names.split(", ")]


def parameters(function: Function) -> set[str]:
    given = function.args
    rest = [each for each in (given.vararg, given.kwarg) if each]
    return {each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, *rest)} - {"self", "cls"}


def raised(function: Function) -> set[str]:
    """Return the exceptions that the function itself raises, outside of `try` and `with`, which may handle them."""
    names, left = set(), list[ast.AST](function.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            names.add(ast.unparse(node.exc.func).split(".")[-1])
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef | ast.Try | ast.With):
            left += ast.iter_child_nodes(node)
    return {name for name in names if name[0].isupper()}


def test_prose_uses_no_coined_words() -> None:
    found = [f"{place} {word[0]!r}" for place, text in prose() for word in COINED.finditer(text)]
    assert not found, f"prose must use the terms of the field (expensive, sub-layer, reported, proposed), got {found}"


def test_documents_use_no_coined_words() -> None:
    names = ["README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))]
    found = [
        f"{name}: {word[0]!r}"
        for name in names
        if name != "docs/experiments.md"
        for expression in (COINED, RATE)
        for word in expression.finditer((ROOT / name).read_text())
    ]
    assert not found, f"documents must use the terms of the field, got {found}"


def test_rates_are_written_with_per() -> None:
    found = [f"{place} {rate[0]!r}" for place, text in prose() for rate in RATE.finditer(text)]
    assert not found, f"rates must be written with 'per', as in 'one row per trial', got {found}"


def test_docstrings_of_public_functions_begin_with_an_instruction() -> None:
    found = [
        f"{file}:{function.lineno} {text.splitlines()[0]!r}"
        for file, _, tree in trees()
        for function in public_functions(tree)
        if (text := ast.get_docstring(function))
        and (text.split()[0].strip("`,:").lower() in NO_INSTRUCTION or not text[0].isupper())
    ]
    assert not found, f"the first line must say what a call does, as in 'Return the FLOPs of a plan.', got {found}"


def test_public_functions_of_modules_have_docstrings() -> None:
    found = [
        f"{file}:{node.lineno} {node.name}"
        for file, _, tree in trees()
        for node in tree.body
        if isinstance(node, Function) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not found, f"public functions must have a docstring, got none of {found}"


def test_described_arguments_are_the_parameters() -> None:
    found = [
        f"{file}:{function.lineno} {function.name}: {sorted(names ^ parameters(function))}"
        for file, _, tree in trees()
        for function in functions(tree)
        if (names := {name for name, _ in section(function, "Args")}) and names != parameters(function)
    ]
    assert not found, f"Args must name every parameter and nothing else, got a difference in {found}"


def test_arguments_and_exceptions_are_described_in_whole_phrases() -> None:
    found = [
        f"{file}:{function.lineno} {name}: {text}"
        for file, _, tree in trees()
        for function in functions(tree)
        for name, text in section(function, "Args")
        if text.startswith(("of ", "to ", "that ", "which "))
    ]
    assert not found, f"an argument must be named before what it is of, as in 'folder: folder of the run', got {found}"


def test_exceptions_that_public_functions_raise_are_in_their_docstrings() -> None:
    found = [
        f"{file}:{function.lineno} {function.name}: {sorted(missing)}"
        for file, _, tree in trees()
        for function in public_functions(tree)
        if ast.get_docstring(function)
        and (missing := {name for name in raised(function) if name not in (ast.get_docstring(function) or "")})
        and missing - {"Exit", "BadParameter", "NotImplementedError", "AssertionError"}
    ]
    assert not found, f"the docstring must name what a public function raises, got {found}"


def test_functions_are_short() -> None:
    found = [
        f"{file}:{function.lineno} {function.name}, {length} lines"
        for file, _, tree in trees()
        for function in functions(tree)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST
    ]
    assert not found, f"a function must have {LONGEST} lines at most, got {found}: split it"
