"""Renders the sections of a run as HTML, and the whole page as one file that needs nothing else."""

import gzip
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from search.page.colors import DARK
from search.page.contents import contents
from search.page.run_facts import RunFacts
from search.page.section import Chart, Piece, Section

Named = tuple[str, Piece]
"""A piece with its id in the page."""


@dataclass(frozen=True)
class Grouped:
    """A section whose pieces are grouped as they stand in the page."""

    name: str
    title: str
    groups: Sequence[tuple[str, Sequence[Named]]]
    """(kind, pieces): `switch` for charts in one place, `pair` for charts in one row, else the kind of one piece."""


@dataclass(frozen=True)
class Rendered:
    """The page of a run in parts."""

    run: str
    subject: str
    state: str
    metric: str
    sections: Sequence[Grouped]
    charts: dict[str, Any]
    """Id of a chart -> its figure as JSON values."""

    def bodies(self) -> dict[str, str]:
        """Return name of a section -> HTML of its body."""
        body = getattr(_templates().get_template("pieces.html.jinja").module, "body")  # noqa: B009
        return {section.name: str(body(section)) for section in self.sections}

    def page(self, live: str = "") -> str:
        """Return the whole page.

        Args:
            live: version of the data where a server answers requests for newer data; empty for a file.
        """
        return (
            _templates()
            .get_template("page.html.jinja")
            .render(
                run=self.run,
                subject=self.subject,
                state=self.state,
                metric=self.metric,
                sections=self.sections,
                live=live,
                charts=_in_script(self.charts),
                dark=_in_script(DARK),
                plotly=Markup(_packed_plotly()),
                css=Markup(_own("page.css")),
                js=Markup(_own("page.js")),
                version=_version(),
            )
        )


def render(run: RunFacts) -> Rendered:
    """Return the page of a run in parts."""
    sections = contents(run)
    named = {section.name: _named(section) for section in sections}
    return Rendered(
        run=run.summary["run"],
        subject=_subject(run),
        state=_state(run),
        metric=run.metric,
        sections=[Grouped(each.name, each.title, _groups(named[each.name])) for each in sections],
        charts={
            name: json.loads(piece.figure.to_json())
            for pieces in named.values()
            for name, piece in pieces
            if isinstance(piece, Chart)
        },
    )


def _named(section: Section) -> list[Named]:
    return [(f"{section.name}-{number}", piece) for number, piece in enumerate(section.pieces)]


def _groups(pieces: Sequence[Named]) -> list[tuple[str, list[Named]]]:
    """Return charts that share a place or a row together, and every other piece alone."""

    def key(each: Named) -> tuple[str, str]:
        name, piece = each
        if isinstance(piece, Chart) and (piece.choice or piece.half):
            return ("switch" if piece.choice else "pair"), ""
        return type(piece).__name__.lower(), name

    return [(kind, list(group)) for (kind, _), group in groupby(pieces, key)]


def _subject(run: RunFacts) -> str:
    settings = run.summary["settings"]
    model, data = settings["model"]["name"], settings["dataset"]["name"]
    how = ", ".join(f"{name} {settings[name]}" for name in ("space", "strategy", "seed"))
    return f"Model {model}, data {data}, {how}"


def _state(run: RunFacts) -> str:
    counts, budget = run.summary["counts"], run.summary["budget"]
    ended = counts["trials"] - counts.get("running", 0)
    if run.summary["finished"]:
        return f"Finished: {ended} of {budget} trials and the final test."
    testing = ended >= budget
    return f"{ended} of {budget} trials have ended" + ("; the final test is not done." if testing else ".")


def _in_script(value: Any) -> Markup:
    """Return JSON that can't end the script element it stands in."""
    return Markup(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"))


@cache
def _templates() -> Environment:
    loader = DictLoader({name: _own(name) for name in ("page.html.jinja", "pieces.html.jinja")})
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader)


@cache
def _packed_plotly() -> str:
    """Return plotly's script, compressed to a third and encoded as text."""
    from plotly.offline import get_plotlyjs

    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _own(name: str) -> str:
    return files("search.page").joinpath(name).read_text(encoding="utf-8")


def _version() -> str:
    try:
        return version("skipsearch")
    except PackageNotFoundError:
        return "(not installed)"
