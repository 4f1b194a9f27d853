"""Routes for tests of stock layers, which zero what they cannot leave out."""

from spaces.plan import Plan
from workers.export.layer_facts import Facts
from workers.export.route import ExportError, Route, export_route


def stock_or_remote(plan: Plan, facts: Facts) -> Route:
    """Return the route by stock layers, zeroed ones too, or by remote code for plans that they cannot express."""
    try:
        return export_route(plan, facts, "transformers")
    except ExportError:
        return export_route(plan, facts)
