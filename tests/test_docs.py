"""Documents agree with the code: the file tree, links, and the README's example.

`python -m tests.test_docs` writes the tree.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MARKER = "<!-- tree -->\n"
DOCUMENTS = (
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "docker" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
PACKAGES = {
    "spaces": "what can be chosen: standard library and numpy only",
    "objectives": "what plans are judged by: standard library and numpy only",
    "workers": "loads the model once and runs trials: torch, transformers, datasets",
    "workers/blocks": "what a decoder block is, and how a part of it is replaced",
    "workers/data": "where questions and images come from",
    "workers/models": "which model this is, what its parts are, how it is loaded",
    "workers/inference": "how the questions of a split are put to the model",
    "workers/pruning": "which weights, channels and heads go, and running without them",
    "workers/evaluation": "how good, how fast, and how important each part is",
    "workers/routing": "which plan answers a question, decided before the language model runs",
    "workers/embedded": "the model and data that need no download",
    "workers/embedded/training": "how that model was trained and measured; not installed with the package",
    "workers/pretrained": "a model of pretrained parts: SmolLM2-135M, a frozen vision tower, a mapping module of ours",
    "workers/pretrained/training": "how its mapping module was trained; not installed with the package",
    "workers/export": "a plan as a smaller model folder, checked in a fresh process",
    "workers/export/engines": "engines that run an export, and how far their numbers are from the model's",
    "workers/harness": "exports, and plans on their base model, in lmms-eval",
    "search": "the commands",
    "search/storage": "the database, the study and the lock of a run",
    "search/strategies": "proposes plans",
    "search/strategies/guided": "the default strategy",
    "search/strategies/papers": "the algorithms of papers",
    "search/analysis": "what a run found; reads storage only",
    "search/loop": "the controller and what it remembers",
    "search/routing": "a router between the plans of a front: trained, chosen and measured",
    "search/page": "a run as one HTML page, written to a file or served live",
    "search/dashboard_view": "a run as Optuna Dashboard shows it",
    "search/console": "what a person sees on the terminal",
    "search/dispatch": "runs jobs in this process or on Ray",
    "benchmarks": "how fast and how good, as tables",
    "benchmarks/truth": "measured tables of small spaces",
    "benchmarks/strategies": "strategies replayed on those tables",
    "benchmarks/peers": "optimizers of other packages on the same tables",
    "benchmarks/adaptive": "what a plan per question saves, with controls",
    "benchmarks/paper": "the source paper's findings, measured again",
}
WIDTH = 28


def first_line(module: Path) -> str:
    doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return doc.split("\n", 1)[0].removesuffix(".")


def whole_first_line(module: Path) -> bool:
    doc = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return doc.split("\n")[1:2] in ([], [""])


def tree() -> str:
    lines = []
    for package, about in PACKAGES.items():
        lines.append(f"{package + '/':{WIDTH}}{about}")
        for module in sorted((ROOT / package).glob("*.py")):
            if module.name != "__init__.py":
                lines.append(f"  {module.name:{WIDTH - 2}}{first_line(module)}")
    return "```\n" + "\n".join(lines) + "\n```\n"


def test_the_tree_is_what_the_modules_say() -> None:
    assert MARKER + tree() in ARCHITECTURE.read_text(encoding="utf-8"), "run python -m tests.test_docs"


def test_every_package_is_in_the_tree() -> None:
    roots = ("spaces", "objectives", "workers", "search", "benchmarks")
    packages = {str(file.parent.relative_to(ROOT)) for root in roots for file in (ROOT / root).rglob("__init__.py")}
    assert {name for name in packages if "migrations" not in name} == set(PACKAGES)


def test_every_module_says_what_it_is_for() -> None:
    modules = [module for package in PACKAGES for module in (ROOT / package).glob("*.py")]
    written = [module for module in modules if module.stat().st_size]
    assert not [str(module) for module in written if not first_line(module)]
    cut = [str(module) for module in written if not whole_first_line(module)]
    assert not cut, "the first line of a docstring is a sentence of its own"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_are_there(document: Path) -> None:
    """But for the log of experiments, which names files of its day."""
    if document.name == "experiments.md":
        return
    named = re.findall(
        r"`((?:spaces|objectives|workers|search|benchmarks|tests|docs|docker|examples)/[\w/.-]+)`", document.read_text()
    )
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_readme_is_short_and_its_example_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})


def write_tree() -> None:
    before, _, after = ARCHITECTURE.read_text(encoding="utf-8").partition(MARKER)
    ARCHITECTURE.write_text(before + MARKER + tree() + after.split("```\n", 2)[2], encoding="utf-8")


if __name__ == "__main__":
    write_tree()
