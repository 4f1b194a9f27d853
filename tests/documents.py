"""The commands and Python examples of the documents, in their order."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.test_docs import DOCUMENTS

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(
    r"\s*(\$ )?(python3? -m|skipsearch|make|pip|git|docker/up|docker|mkdocs|ray|kubectl|sbatch|pre-commit|ssh) "
)
INLINE = re.compile(
    r"`((?:python3? -m [\w.]+|skipsearch \w+|docker/up|make [\w-]+|pip install|ray up|kubectl|sbatch)\b[^`\n]*)`"
)
LOG = ("experiments.md", "CHANGELOG.md")
"""Documents of what was done at some time, with the commands of that time."""


@dataclass(frozen=True)
class Example:
    """One command or one block of Python in a document."""

    document: str
    text: str
    """The command without its prompt and comment, or the source."""
    is_python: bool = False
    in_sentence: bool = False
    """Within a sentence or a table, where arguments may be placeholders such as RUN."""

    @property
    def words(self) -> list[str]:
        """The words of a command; without the file that its output goes to."""
        return shlex.split(self.text.partition(" > ")[0], comments=True)

    @property
    def destination(self) -> str:
        """The file that the output of a command goes to; empty for the terminal."""
        return self.text.partition(" > ")[2].strip()


def name_of(document: Path) -> str:
    """Return the name of a document with its folder, which tells the two README files apart."""
    return f"{document.parent.name}/{document.name}" if document.parent.name == "docker" else document.name


def examples_of(document: Path) -> Iterator[Example]:
    """Yield the examples of one document: those in code blocks and sentences, in their order."""
    text, name = document.read_text(encoding="utf-8"), name_of(document)
    places = [(found.start(), found) for found in BLOCK.finditer(text)]
    inside = [(found.start(), found.end()) for _, found in places]
    places += [
        (found.start(), found)
        for found in INLINE.finditer(text)
        if not any(start < found.start() < end for start, end in inside)
    ]
    for _, found in sorted(places, key=lambda place: place[0]):
        if found.re is INLINE:
            yield Example(name, found[1], in_sentence=True)
        elif found[1] == "python":
            yield Example(name, found[2], is_python=True)
        else:
            for line in found[2].replace("\\\n", " ").splitlines():
                if COMMAND.match(line):
                    yield Example(name, line.strip().removeprefix("$ "))


def examples() -> list[Example]:
    """Return the examples of all documents but the logs."""
    return [example for path in DOCUMENTS if path.name not in LOG for example in examples_of(path)]
