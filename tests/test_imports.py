"""Scripts that no other test runs import only what is there: benchmarks, examples and the checks of containers."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("spaces", "objectives", "workers", "search", "benchmarks", "tests")
SCRIPTS = sorted(
    path for folder in ("benchmarks", "examples", "tests/docker") for path in (ROOT / folder).rglob("*.py")
)


def _file(module: str) -> Path | None:
    """Return the file of one of our modules."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def _bound(file: Path) -> set[str]:
    """Return the names that the top level of a module binds."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add(other or name)
    return names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_import_of_ours_is_there(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in OURS:
            continue
        file = _file(str(node.module))
        assert file is not None, f"line {node.lineno}: no module {node.module}"
        missing = [a.name for a in node.names if a.name not in _bound(file) and not _file(f"{node.module}.{a.name}")]
        assert not missing, f"line {node.lineno}: {node.module} has no {missing}"
