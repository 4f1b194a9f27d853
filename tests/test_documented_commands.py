"""Every command in a code block of the documents is one that exists: its options are known and their values valid.

Commands of the project are parsed by their real parsers, in this process; nothing is run, which is left to
`test_executed_documents.py`. Those of other programs are held against a list, so that a new one is looked at.
"""

import re
import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from search.__main__ import app as skipsearch
from search.load_settings import load_settings
from search.setting_options import settings_of
from tests.documents import examples
from tests.test_docs import DOCUMENTS, ROOT

INLINE = re.compile(r"`((?:python -m search\.|skipsearch )[^`]+)`")
OTHERS = ("docker/up", "docker", "mkdocs", "git", "sbatch", "ray", "kubectl", "pre-commit", "ssh")
"""First words of commands that are not ours."""
FOUND = [(each.document, each.words) for each in examples() if not each.is_python and not each.in_sentence]


def module_of(words: list[str]) -> tuple[str, list[str]] | None:
    """Return (module, arguments) of a command of ours."""
    if words[0] == "skipsearch":
        return f"search.{words[1]}", words[2:]
    if words[:2] in (["python", "-m"], ["python3", "-m"]):
        return words[2], words[3:]
    return None


def parse(module: str, words: list[str]) -> None:
    """Parse the words of a command with the parser that its module has."""
    name = module.removeprefix("search.")
    group = get_command(skipsearch)
    assert isinstance(group, typer.core.TyperGroup)
    if module.startswith("search.") and name in group.commands:
        group.commands[name].make_context(name, list(words))
        return
    assert find_spec(module) is not None, module
    if isinstance(main := runpy.run_module(module, run_name="looked at").get("app"), typer.Typer):
        get_command(main).make_context(module, list(words))


@pytest.mark.parametrize(
    ("document", "words"), FOUND, ids=[f"{document}: {' '.join(words)[:70]}" for document, words in FOUND]
)
def test_a_command_of_a_document_is_one_that_exists(document: str, words: list[str]) -> None:
    if found := module_of(words):
        parse(*found)
    elif words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "pip":
        extras = re.findall(r"\[([\w,]+)\]", " ".join(words))
        known = re.findall(r"^([\w-]+) = \[$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        assert all(extra in known for each in extras for extra in each.split(","))
    else:
        assert words[0] in OTHERS, f"{document}: add a check of {words[0]}"


@pytest.mark.parametrize("words", [words for _, words in FOUND if (module_of(words) or ("", []))[0] == "search.run"],
                         ids=" ".join)  # fmt: skip
def test_the_settings_of_a_documented_search_are_valid(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the parser: choices, ranges and what settings demand of each other."""
    monkeypatch.chdir(ROOT)
    _, arguments = module_of(words) or ("", [])
    context = get_command(skipsearch).commands["run"].make_context("run", arguments)  # type: ignore[attr-defined]
    paths = {setting.parameter.name: setting.path for setting in settings_of()}
    given = {paths[name]: value for name, value in context.params.items() if name in paths and value not in (None, ())}
    config = context.params.get("config")
    assert load_settings(Path(config) if config else None, {key: value for key, value in given.items() if value != []})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_of_commands_within_sentences_exist(document: Path) -> None:
    """Their values may be placeholders such as RUN or N."""
    group = get_command(skipsearch)
    for text in INLINE.findall(document.read_text(encoding="utf-8")) if document.name != "experiments.md" else ():
        name = re.split(r"[\s.]", text.removeprefix("python -m "))[1]
        if name in group.commands:  # type: ignore[attr-defined]
            known = {flag for each in group.commands[name].params for flag in each.opts}  # type: ignore[attr-defined]
            assert set(re.findall(r"--[\w-]+", text)) <= known | {"--help"}, text


@pytest.mark.parametrize("words", [["--outt", "runs/first"], ["--out", "runs/first", "--samples", "none"]])
def test_a_wrong_command_is_found(words: list[str]) -> None:
    assert len(FOUND) >= 35
    with pytest.raises(typer.BadParameter):
        parse("search.report", words)
