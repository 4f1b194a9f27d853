"""The settings of a search: their names, types, defaults and help, and the rules that they keep together."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from objectives.metrics import METRICS
from search.quantities import parse_latency, parse_memory, parse_workload
from search.strategies import STRATEGIES
from search.trackers import CALLBACKS
from spaces.spaces import SPACES
from workers.message import known
from workers.requests import Deploy, Rung, TuningRecipe
from workers.sources import DataSource, ModelSource

FREE_TO_CHANGE = frozenset(
    {
        "allow_blind",
        "budget",
        "final_seeds",
        "final_plans",
        "workers",
        "ray_address",
        "gpus_per_trial",
        "trials_per_gpu",
        "cpus_per_trial",
        "callbacks",
        "time_limit",
        "out",
        "storage",
        "patience",
    }
)
"""Settings that may differ between two starts of the same run; results depend on all others."""
PANELS = {
    "Search": ("budget", "space", "strategy", "rungs", "keep_fraction", "minimize", "deploy", "workload", "prunings",
               "warm_start", "seed", "final_seeds", "final_plans", "metric"),
    "Model": ("model",),
    "Data": ("dataset",),
    "Limits": ("max_flops", "max_latency", "max_memory", "min_accuracy", "focus", "allow_blind", "time_limit"),
    "Tuning": ("tuning",),
    "Running": ("out", "storage", "workers", "threads", "ray_address", "gpus_per_trial", "trials_per_gpu",
                "cpus_per_trial", "patience", "callbacks"),
}  # fmt: skip
"""Title of a panel in `search.run --help` -> its settings."""
MAX_THREADS = 1024
"""Maximum number of CPU threads per worker."""


class SettingsError(ValueError):
    """A setting that can't be used. The message is one line with the rule, the value got and the way out."""


def _listed(value: Any) -> Any:
    """Return the comma-separated parts of a text; return any other value unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _workers(value: Any) -> Any:
    """Return None for `--workers auto`; return any other value unchanged.

    Raises:
        ValueError: another text that is no whole number.
    """
    if isinstance(value, str) and value != "auto" and not value.strip().lstrip("-").isdecimal():
        raise ValueError(f"--workers must be auto or a whole number from 1 on, got {value!r}")
    return None if value == "auto" else value


def parse_rungs(text: Any) -> Any:
    """Return the rungs of a text such as `0:256,10:512,50:all` (`steps:questions,...`); other values unchanged.

    Raises:
        SettingsError: a part of the text has another form.
    """
    if not isinstance(text, str):
        return text
    rungs = []
    for part in text.split(","):
        steps, colon, questions = part.strip().partition(":")
        if not (colon and steps.isdigit() and (questions == "all" or (questions.isdigit() and int(questions)))):
            raise SettingsError(f"a rung must be `steps:questions` such as 20:512 or 80:all, got {part.strip()!r}")
        rungs.append(Rung(tuning_steps=int(steps), questions=None if questions == "all" else int(questions)))
    return tuple(rungs)


def parse_focus(text: Any) -> Any:
    """Return the range of FLOPs ratios of a text such as `0.4:0.7` (`LOW:HIGH`); other values unchanged.

    Raises:
        SettingsError: the text has another form.
    """
    if not isinstance(text, str):
        return text
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingsError(f"--focus must be LOW:HIGH such as 0.4:0.7, got {text!r}") from None
    return low, high


Listed = BeforeValidator(_listed)


def _checked(parse: Callable[[str], Any]) -> Callable[[str | None], str | None]:
    """Return a validator that lets a text pass unchanged if it can be parsed."""

    def check(text: str | None) -> str | None:
        if text is not None:
            parse(text)
        return text

    return check


class Settings(BaseModel):
    """All settings of a search. They are stored with the run; each field is an option of `search.run`.

    The first sentence of a field's docstring is the help of its option.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    budget: int = Field(200, ge=1)
    """Total number of trials, baselines and sensitivity scan included."""
    space: Annotated[str, known("space", SPACES)] = "layers"
    """Search space, the choices per block; the spaces are listed below."""
    strategy: Annotated[str, known("strategy", STRATEGIES)] = "guided"
    """Strategy that proposes plans; the strategies are listed below."""
    rungs: Annotated[tuple[Rung, ...], BeforeValidator(parse_rungs)] = Field(
        (
            Rung(tuning_steps=0, questions=256),
            Rung(tuning_steps=10, questions=512),
            Rung(tuning_steps=50, questions=None),
        ),
        json_schema_extra={"shown": "0:256,10:512,50:all"},
    )
    """Rungs of a trial as steps:questions, cheapest first. Only trials that finish the last rung enter the front."""
    keep_fraction: float = Field(1 / 3, gt=0, le=1, json_schema_extra={"shown": "1/3"})
    """Fraction of the trials at a rung that continue with the next one; members of the first front always do."""
    minimize: Literal["flops", "sparse_flops", "latency"] = "flops"
    """Cost to minimize: flops, sparse_flops or latency. Sparse FLOPs do not count weights that are zero, which needs
    sparse kernels. Latency is predicted from times that are measured on the worker's device when the search starts."""
    deploy: Deploy = "any"
    """Where plans will run, any, transformers, remote-code or nemotron-nas: costs and limits are those of that export.
    any takes the export that saves all that a plan skips."""
    workload: Annotated[str | None, AfterValidator(_checked(parse_workload))] = None
    """Workload that costs are counted for, such as text=512,generated=64,batch=8; by default the means of the data.
    Images and their tokens are those of the data."""
    prunings: Annotated[tuple[str, ...] | None, Listed] = None
    """Prunings that the space full may apply to blocks, such as ffn50,h50,w50/ffn."""
    warm_start: tuple[str, ...] = ()
    """Source of plans to try first: folder or database URL of a run, file of EvoPress or LLM-Drop; may be repeated."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of all random choices."""
    final_seeds: int = Field(3, ge=1)
    """Number of seeds of tuning for the test of the final front: --seed and the following numbers."""
    final_plans: Literal["distinct", "all"] = "distinct"
    """Plans of the front that are tested with more seeds than --seed: distinct or all. distinct leaves out a plan that
    is not more accurate than a cheaper one beyond the 95 % interval of their difference on the search split."""
    metric: Annotated[str | None, known("metric", METRICS)] = None
    """Metric: exact_match, strict_match, vqa, anls, cider, task, choice or loss; by default the usual one for the
    data."""
    max_flops: float | None = Field(None, gt=0, le=1)
    """Maximum FLOPs as a ratio to the dense model, for example 0.6."""
    max_latency: Annotated[str | None, AfterValidator(_checked(parse_latency))] = None
    """Maximum predicted latency of the workload, from the images to the last token, for example 80ms."""
    max_memory: Annotated[str | None, AfterValidator(_checked(parse_memory))] = None
    """Maximum bytes of weights and KV cache for the workload, for example 20GB; activations are not counted."""
    min_accuracy: float | None = Field(None, ge=0, le=1)
    """Minimum accuracy on the search split of a plan on the front, for example 0.9."""
    focus: Annotated[tuple[float, float] | None, BeforeValidator(parse_focus)] = None
    """Range of FLOPs ratios that the search concentrates on, for example 0.4:0.7."""
    allow_blind: bool = False
    """Continue if the dense model is not better than without the images."""
    time_limit: float = Field(1800.0, gt=0, allow_inf_nan=False)
    """Maximum seconds per trial; a trial that takes longer is failed."""
    model: ModelSource = ModelSource()
    dataset: DataSource = DataSource()
    tuning: TuningRecipe = TuningRecipe()
    out: Path | None = None
    """Folder of the run. By default runs/MODEL-SPACE-STRATEGY-sSEED."""
    storage: str | None = None
    """Database URL. By default an SQLite file in the run's folder."""
    workers: Annotated[int | None, BeforeValidator(_workers)] = Field(None, ge=1, json_schema_extra={"shown": "auto"})
    """Number of workers: 1 runs trials in this process, more run them on Ray; auto is one per core, at most 4. auto is
    1 for a model above 256 MB, on a GPU or a cluster, if latency counts, and for a search of less than about two
    minutes. With the same number, a search on one machine has the same result at any speed of the workers."""
    threads: int | None = Field(None, ge=1, le=MAX_THREADS)
    """CPU threads per worker; by default the usable cores divided by the workers."""
    ray_address: str | None = None
    """Address of a running Ray cluster, auto or ray://HOST:PORT."""
    gpus_per_trial: float = Field(0.0, ge=0, allow_inf_nan=False)
    """GPUs per Ray worker: a whole number, or a fraction of one GPU such as 0.5."""
    trials_per_gpu: int | None = Field(None, ge=1)
    """Ray workers per GPU, instead of --gpus-per-trial."""
    cpus_per_trial: int = Field(1, ge=1)
    """CPUs that Ray reserves per worker."""
    patience: float = Field(600.0, ge=0, allow_inf_nan=False)
    """Maximum seconds to wait for an unavailable database, disk or device before the search stops."""
    callbacks: Annotated[tuple[Annotated[str, known("callback", CALLBACKS)], ...], Listed] = ()
    """Experiment trackers that the search reports to, separated by commas: tensorboard, wandb, mlflow."""

    @model_validator(mode="after")
    def _rungs_grow(self) -> "Settings":
        steps = [rung.tuning_steps for rung in self.rungs]
        if not steps or steps != sorted(steps):
            raise ValueError(f"rungs must have tuning steps in ascending order, got {steps}")
        if any(rung.split != "search" for rung in self.rungs):
            raise ValueError("all rungs of a search must use the split 'search'; 'test' is for the final front")
        return self

    @model_validator(mode="after")
    def _resources_are_of_ray(self) -> "Settings":
        given = {
            "--gpus-per-trial": self.gpus_per_trial or None,
            "--trials-per-gpu": self.trials_per_gpu,
            "--cpus-per-trial": self.cpus_per_trial if self.cpus_per_trial > 1 else None,
        }
        for option, value in given.items():
            if value is not None and not self.on_ray:
                raise ValueError(
                    f"{option} needs Ray, got {value:g} without it: leave it out, or give --workers above 1 or "
                    "--ray-address"
                )
        if self.gpus_per_trial and self.trials_per_gpu is not None:
            raise ValueError(
                f"--gpus-per-trial and --trials-per-gpu exclude each other, got {self.gpus_per_trial:g} and "
                f"{self.trials_per_gpu}: give one of them"
            )
        if self.gpus_per_trial > 1 and self.gpus_per_trial % 1:
            raise ValueError(
                f"--gpus-per-trial above 1 must be a whole number, got {self.gpus_per_trial:g}: Ray assigns fractions "
                "of a single GPU only"
            )
        return self

    @model_validator(mode="after")
    def _focus_is_a_range(self) -> "Settings":
        if self.focus is not None and not 0 <= self.focus[0] < self.focus[1] <= 1:
            raise ValueError(f"focus must be a range LOW:HIGH of FLOPs ratios within 0:1, got {self.focus}")
        return self

    @model_validator(mode="after")
    def _latency_can_be_measured(self) -> "Settings":
        if not self.needs_times:
            return self
        what = "--minimize latency" if self.minimize == "latency" else "--max-latency"
        if self.on_ray:
            raise ValueError(
                f"{what} needs all trials on one device with nothing beside them, got workers on Ray: leave out "
                "--workers and --ray-address"
            )
        if self.deploy == "nemotron-nas":
            raise ValueError(
                f"{what} is measured in transformers, got --deploy nemotron-nas, whose engines have times of their "
                "own: choose --deploy any, transformers or remote-code"
            )
        return self

    @property
    def needs_times(self) -> bool:
        """Return True if latency is minimized or limited."""
        return self.minimize == "latency" or self.max_latency is not None

    @property
    def run_folder(self) -> Path:
        """Return the absolute folder of the run; absolute since Ray changes the working directory of its workers."""
        name = f"{Path(self.model.name).name}-{self.space}-{self.strategy}-s{self.seed}"
        return (self.out or Path("runs") / name).absolute()

    @property
    def storage_url(self) -> str:
        """Return the URL of the database, shared by the Optuna study and the results tables."""
        from search.storage.find_run import own_database  # SQLAlchemy is slow to import

        return self.storage or own_database(self.run_folder)

    @property
    def num_workers(self) -> int:
        """Return the number of workers; 1 as long as `auto` is not resolved (`search.loop.problem`)."""
        return self.workers or 1

    @property
    def on_ray(self) -> bool:
        """Return True if trials run on Ray Tune."""
        return self.num_workers > 1 or self.ray_address is not None

    @property
    def gpus_of_a_trial(self) -> float:
        """Return the GPUs that Ray reserves per worker."""
        return 1 / self.trials_per_gpu if self.trials_per_gpu is not None else self.gpus_per_trial

    def identity(self) -> dict[str, Any]:
        """Return the settings that must not change when a run is resumed, as JSON values."""
        return {name: value for name, value in self.stored().items() if name not in FREE_TO_CHANGE}

    def stored(self) -> dict[str, Any]:
        """Return all settings as stored with the run: JSON values, database URLs without passwords."""
        from search.storage.database_url import shown as without_password  # SQLAlchemy is slow to import

        values = self.model_dump(mode="json")
        return {
            **values,
            "storage": None if self.storage is None else without_password(self.storage),
            "warm_start": [without_password(source) for source in self.warm_start],
        }
