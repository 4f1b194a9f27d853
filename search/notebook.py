"""Runs searches and reads their results from Python: `from search import run, load_run, export_plan`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from search.storage.results import Results


class SearchStopped(RuntimeError):
    """A search that ended before its budget was used up; the same call continues it."""


def run(config: str | Path | None = None, **settings: Any) -> "LoadedRun":
    """Run a search, or continue it, and return its results.

    Args:
        config: a YAML file of settings; keyword arguments override it.
        **settings: the options of `search.run` with underscores, such as `budget=20`, `model="embedded"`,
            `max_flops=0.6`, `out="runs/first"`. `model`, `dataset` and `tuning` may be dicts of their fields, such as
            `model={"name": ..., "dtype": ...}`.

    Raises:
        ValueError: a setting is unknown or can't be used; nothing was run.
        SearchStopped: the search was interrupted, or no trial can succeed.
    """
    from search.dispatch.whole_search import WholeSearch
    from search.load_settings import load_settings
    from search.loop.problem import Problem

    checked = load_settings(Path(config) if config else None, _paths(settings))
    problem = Problem.resolve(checked)
    code = WholeSearch(problem.settings, problem).run()
    if code:
        raise SearchStopped(f"the search in {problem.settings.run_folder} stopped (exit code {code}): run it again")
    return load_run(problem.settings.run_folder, problem.settings.storage)


def load_run(out: str | Path, storage: str | None = None) -> "LoadedRun":
    """Return the results of the run in a folder, finished or not.

    Args:
        out: folder of the run.
        storage: database URL; by default `search.db` in the folder.

    Raises:
        ValueError: the folder holds no run.
    """
    from search.storage.find_run import open_results

    return LoadedRun(Path(out), open_results(Path(out), storage))


def export_plan(out: str | Path, to: str | Path, **options: Any) -> list[int | None]:
    """Export the trial of a run that one rule selects as a model folder, and check it in a fresh process.

    Args:
        out: folder of the run.
        to: folder to write; must be new unless `force=True`.
        **options: one rule, such as `min_retention=0.97`, `trial=17` or `knee=True`, and the options of
            `search.export` with underscores; `form` is its `--format`.

    Returns:
        The numbers of the exported trials; None for a plan without a complete trial in the run.

    Raises:
        ValueError: the export is not possible; one line with the reason. `to` is unchanged.
    """
    from search.export import export_plan as export

    return export(out, to, **options)


class LoadedRun:
    """The results of a run when they were first read; call `load_run` again for those of a search that goes on."""

    def __init__(self, out: Path, results: "Results") -> None:
        self.out = out
        self._results = results

    @property
    def summary(self) -> dict[str, Any]:
        """Return the summary that `search.report --json` prints (docs/report.md)."""
        from search.analysis.summary import summarize

        return summarize(self._results)

    @property
    def trials(self) -> "pd.DataFrame":
        """Return one row per trial; the columns are listed at `search.analysis.frames.trials_frame`."""
        from search.analysis.frames import trials_frame
        from search.analysis.summary import limits_of

        records = self._results.records()
        return trials_frame(records, limits_of(self._results.run, records))

    @property
    def front(self) -> "pd.DataFrame":
        """Return the rows of `trials` that are on the front, cheapest first."""
        trials = self.trials
        return trials[trials["on_front"]].sort_values("cost_ratio").reset_index(drop=True)

    @property
    def rungs(self) -> "pd.DataFrame":
        """Return one row per measured rung; the columns are listed at `search.analysis.frames.rungs_frame`."""
        from search.analysis.frames import rungs_frame

        return rungs_frame(self._results.records())

    def samples(self, trial: int) -> "pd.DataFrame":
        """Return one row per question that a complete trial answered, with the answer of the dense model.

        Args:
            trial: number of the trial.

        Raises:
            ValueError: there is no such complete trial, or its answers are not stored.
        """
        from search.analysis.explain import dense_trial, finished_trial
        from search.analysis.frames import samples_frame

        records = self._results.records()
        return samples_frame(self._results, dense_trial(records), finished_trial(records, trial))

    def plot_front(self, axes: "Axes | None" = None) -> "Axes":
        """Draw accuracy against FLOPs ratio of all trials, and the front; return the matplotlib axes.

        Args:
            axes: axes to draw on; by default new ones.
        """
        from search.console.front_picture import plot_front

        drawn: Axes = plot_front(self._results.records(), self.summary, axes)
        return drawn

    def __repr__(self) -> str:
        counts = self.summary["counts"]
        return f"<run {self._results.run.name}: {counts['trials']} trials, {counts.get('complete', 0)} complete>"


def _paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by path (`model.dtype`), given by the names of the command's options (`dtype`).

    Raises:
        ValueError: a name is unknown; the message suggests a similar one.
    """
    from search.command_line import suggestion
    from search.setting_options import settings_of

    known = {setting.flag.removeprefix("--").replace("-", "_"): setting.path for setting in settings_of()}
    groups = {path.partition(".")[0] for path in known.values() if "." in path}
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if name in groups and isinstance(value, Mapping):
            found |= {f"{name}.{key}": each for key, each in value.items()}
        elif name in known:
            found[known[name]] = str(value) if isinstance(value, Path) else value
        else:
            flags = [f"--{each.replace('_', '-')}" for each in known]
            hint = suggestion(f"--{name}", flags).replace("--", "").replace("-", "_")
            raise ValueError(f"no such setting: {name[:60]}{hint}")
    return found
