"""Experiment trackers of other packages behind one interface: TensorBoard, Weights & Biases and MLflow."""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from time import time
from typing import Any, NamedTuple, Protocol

CALLBACKS = ("tensorboard", "wandb", "mlflow")
"""Names of the trackers."""
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
"""Name of a tracker -> the package that it needs."""


class Tracked(NamedTuple):
    """The run that is tracked."""

    uid: str
    """Id of the run; a resumed run continues its record."""
    name: str
    folder: Path
    settings: dict[str, Any]
    """JSON values without passwords."""


class Sink(Protocol):
    """One tracker."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Store numbers by name at a step, the number of the trial."""

    def text(self, name: str, text: str, step: int) -> None:
        """Store a text, such as the reason of a failure or the front as a table in Markdown."""

    def close(self) -> None:
        """Write what is left."""


def check_packages(names: tuple[str, ...]) -> None:
    """Raise ValueError if the package of a tracker is not installed."""
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise ValueError(
                f"--callbacks {name} needs the package {PACKAGES[name]}, which is missing: "
                "pip install 'skipsearch[trackers]'"
            )


class TensorBoard:
    """Event files in the folder of the run: `tensorboard --logdir RUN/tensorboard`."""

    def __init__(self, tracked: Tracked) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(tracked.folder / "tensorboard"))
        self.text("settings", _listed(tracked.settings), 0)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def text(self, name: str, text: str, step: int) -> None:
        self._writer.add_text(name, text, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project `skipsearch`, or of WANDB_PROJECT."""

    def __init__(self, tracked: Tracked) -> None:
        import os

        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "skipsearch"),
            id=tracked.uid,
            name=tracked.name,
            config=tracked.settings,
            dir=str(tracked.folder),
            resume="allow",
        )
        self._run.define_metric("*", step_metric="trial")

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({**values, "trial": step})

    def text(self, name: str, text: str, step: int) -> None:
        self._run.summary[name] = text

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """A run of the experiment `skipsearch`, or of MLFLOW_EXPERIMENT_NAME, on the server of MLFLOW_TRACKING_URI."""

    def __init__(self, tracked: Tracked) -> None:
        import os

        import mlflow

        experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "skipsearch"))
        self._client = mlflow.MlflowClient()
        wanted = f"tags.`skipsearch.run` = '{tracked.uid}'"
        found = self._client.search_runs([experiment.experiment_id], wanted)
        if found:
            self._id = found[0].info.run_id
            return
        tags = {"skipsearch.run": tracked.uid}
        made = self._client.create_run(experiment.experiment_id, run_name=tracked.name, tags=tags)
        self._id = made.info.run_id
        parameters = [mlflow.entities.Param(name, str(value)) for name, value in tracked.settings.items()]
        self._client.log_batch(self._id, params=parameters)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time() * 1000)
        self._client.log_batch(self._id, [Metric(name, value, now, step) for name, value in values.items()])

    def text(self, name: str, text: str, step: int) -> None:
        self._client.log_text(self._id, text, f"{name}.md")

    def close(self) -> None:
        self._client.set_terminated(self._id)


SINKS: dict[str, Callable[[Tracked], Sink]] = {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "mlflow": MLflow}


def _listed(settings: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: `{value}`" for name, value in settings.items())
