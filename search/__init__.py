"""Commands, controller, strategies, results database and export of a search; `run`, `load_run` and `export_plan`."""

from search.notebook import LoadedRun, SearchStopped, export_plan, load_run, run

__all__ = ["LoadedRun", "SearchStopped", "export_plan", "load_run", "run"]
