"""Copies the modeling file of an export, with all modules that it imports, into one flat folder.

transformers loads remote code only from files that a modeling file imports relatively from its own folder. Therefore
`from workers.apply_plan import apply_plan` becomes `from .workers_apply_plan import apply_plan`. The exported model
runs the same code as the search.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from workers.export.route import Badge

OWN = ("objectives", "spaces", "workers")
"""Packages whose modules are copied."""
MODELING = {Badge.REMOTE: "workers.export.modeling_skipsearch", Badge.NEMOTRON: "workers.export.modeling_decilm"}
"""Badge -> modeling module that is copied into the folder with all its imports."""
_IMPORT = re.compile(rf"^(\s*)from ({'|'.join(OWN)})\.([\w.]+) import", re.MULTILINE)


def write_bundle(module: str, folder: Path) -> None:
    """Write `module` and all modules of `OWN` that it imports, directly or not, into `folder`.

    Args:
        module: dotted name of the modeling module. Its file has the last part as its name; a module that it imports,
            such as `workers.apply_plan`, becomes `workers_apply_plan.py`.
        folder: an existing folder.
    """
    for name, text in bundle(module).items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")


def bundle(module: str) -> dict[str, str]:
    """Return the sources of the files that `write_bundle` writes, by file name without suffix."""
    files, waiting = {}, [module]
    while waiting:
        name = waiting.pop()
        text = _source(name)
        files[name.rpartition(".")[2] if name == module else _flat(name)] = _IMPORT.sub(_relative, text)
        needed = (f"{package}.{path}" for _, package, path in _IMPORT.findall(text))
        waiting += [each for each in needed if _flat(each) not in files and each not in waiting]
    return dict(sorted(files.items()))


def _source(module: str) -> str:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"{module} was imported by one of our own modules"
    return Path(spec.origin).read_text(encoding="utf-8")


def _relative(found: re.Match[str]) -> str:
    indent, package, path = found.groups()
    return f"{indent}from .{_flat(f'{package}.{path}')} import"


def _flat(module: str) -> str:
    return module.replace(".", "_")
