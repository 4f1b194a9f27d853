"""All sections of the page, in the order in which a reader needs them."""

from collections.abc import Callable

from search.page.costs import costs
from search.page.examples import examples
from search.page.front_section import front_section
from search.page.importance import importance
from search.page.kinds import kinds
from search.page.learning import learning
from search.page.origin import origin
from search.page.overview import overview
from search.page.plan_map import plans
from search.page.questions import questions
from search.page.run_facts import RunFacts
from search.page.rungs import rungs
from search.page.section import Section
from search.page.trust import trust

SECTIONS: tuple[Callable[[RunFacts], Section], ...] = (
    overview,
    front_section,
    trust,
    plans,
    kinds,
    questions,
    examples,
    costs,
    importance,
    learning,
    rungs,
    origin,
)


def contents(run: RunFacts) -> list[Section]:
    """Return all sections of a run; those without data say so."""
    return [section(run) for section in SECTIONS]
