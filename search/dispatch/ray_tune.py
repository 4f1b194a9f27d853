"""Runs the jobs of a search on Ray Tune.

Tune provides processes, machines and GPUs; the state of the search is in the study. Tune's own recovery
(`Tuner.restore`, `max_failures`) is not used, because it lost and duplicated trials when the driver was killed. A Tune
trial is one attempt at one job; each `step` runs one rung.
"""

import logging
import os
from datetime import datetime
from typing import Any

from search.dispatch.ray_cluster import Nodes, num_places, ray_cluster  # first: sets what Ray reads when it is imported

# isort: split
import ray
import ray.train._internal.storage as ray_storage
import ray.tune.tune as ray_tune_module
from ray import tune
from ray.tune.callback import Callback
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.impl.tuner_internal import TunerInternal
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.analysis.expected_work import work_of_rung
from search.console.progress import Progress
from search.dispatch.dispatcher import Dispatcher
from search.dispatch.ray_actor import TrialActor
from search.dispatch.virtual_clock import VirtualClock
from search.loop.controller import Controller
from search.settings import Settings

# Tune would log the traceback of each lost worker; this module stores it as an event of the run instead.
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


class StudySearcher(Searcher):
    """Tune's searcher; forwards all calls to the dispatcher.

    Its pickled state is empty, so that Tune stores neither the search nor the URL of the database.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()
        self._dispatcher = dispatcher

    def suggest(self, trial_id: str) -> Any:
        job = self._dispatcher.attempt(lambda: self._dispatcher.start(trial_id), None)
        if self._dispatcher.failure is not None or (job is None and self._dispatcher.finished):
            return Searcher.FINISHED
        if job is None:
            return None
        return {"name": job.name, "request": job.request.model_dump_json()}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._dispatcher.attempt(lambda: self._completed(trial_id, result, error), None)

    def _completed(self, trial_id: str, result: dict[str, Any] | None, error: bool) -> None:
        if error:
            self._dispatcher.lost(trial_id)
            return
        if result and "report" in result:
            self._dispatcher.received(trial_id)
        self._dispatcher.ended(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the study is the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class RungScheduler(FIFOScheduler):
    """Tune's scheduler; lets the controller decide after each rung whether a trial continues.

    Tune's own schedulers support one metric only.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        self.dispatcher = dispatcher

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        goes_on = self.dispatcher.attempt(lambda: self.dispatcher.received(trial.trial_id), False)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TrialEvents(Callback):
    """Tells the dispatcher when trials start, and frees the memory of Tune trials that have ended."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._dispatcher.worker_ready(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        _forget(trial)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        _forget(trial)

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _forget(trial: TuneTrial) -> None:
    """Drop request and reports of a Tune trial that has ended; Tune keeps all its trials until the end."""
    trial.config = {"name": trial.config["name"]}
    trial.run_metadata.last_result = {}


class PatientController(TuneController):
    """Tune's controller, which however lets results wait for their turn, and keeps its workers.

    Tune decides on a result when it arrives. It assigns a trial whose worker is starting to the next idle worker and
    kills the starting one: if trials are shorter than the start of a process, the first machine of a cluster would then
    run all trials. And it ends all idle workers but one, even if the next trials start a moment later; on a cluster,
    where machines may join, that stays so.
    """

    def _on_training_result(self, trial: TuneTrial, result: dict[str, Any]) -> None:
        process = super()._on_training_result
        self._dispatcher.arrived(trial.trial_id, result["report"], lambda: process(trial, result))  # type: ignore[no-untyped-call]
        self._pass_on()

    def on_step_begin(self) -> None:
        super().on_step_begin()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        self._pass_on()

    @property
    def _dispatcher(self) -> Dispatcher:
        assert isinstance(self._scheduler_alg, RungScheduler), "the scheduler of `_tuner`"
        return self._scheduler_alg.dispatcher

    def _pass_on(self) -> None:
        """Process the results whose turn it is; start the next trial after each, so that its worker is not idle."""
        while self._dispatcher.pass_on() and self._dispatcher.in_order:
            self._maybe_update_trial_queue()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
            self._maybe_add_actors()

    def _maybe_reuse_cached_actor(self, trial: TuneTrial) -> bool:
        actor = self._trial_to_actor.get(trial)
        if actor is not None and self._actor_manager.is_actor_started(actor) and actor not in self._started_actors:
            return False
        reused: bool = super()._maybe_reuse_cached_actor(trial)
        return reused

    def _maybe_cache_trial_actor(self, trial: TuneTrial) -> bool:
        if not self._dispatcher.in_order:
            return bool(super()._maybe_cache_trial_actor(trial))
        key, room = trial.placement_group_factory, self._actor_cache.num_cached_objects + 1
        self._actor_cache.increase_max(key, room)
        try:
            cached: bool = super()._maybe_cache_trial_actor(trial)
        finally:
            self._actor_cache.decrease_max(key, room)
        return cached

    def _cleanup_cached_actors(self, force_all: bool = False) -> None:
        if force_all or self._search_alg.is_finished() or not self._dispatcher.in_order:
            super()._cleanup_cached_actors(force_all)


def run_on_ray(
    settings: Settings, controller: Controller, progress: Progress, actor: type[TrialActor] = TrialActor
) -> None:
    """Run jobs on Ray until the search is finished.

    Args:
        settings: settings of the search: address of the cluster, number of workers, resources per trial.
        controller: provides the jobs and receives their reports.
        progress: displays the jobs.
        actor: class of the worker processes; replaced in tests.

    Raises:
        SettingsError: the cluster can't be reached, or no machine of it is large enough for a trial.
        MachineFailure: Ray can't be started on this machine.
        RuntimeError: Tune ended early, for an unknown reason.
        Exception: any error of the controller, such as an unavailable database.
    """
    with ray_cluster(settings):
        dispatcher = Dispatcher(
            controller, progress, actor.grace_seconds, Nodes().lost_since, _clock(settings, controller)
        )
        try:
            _tuner(settings, dispatcher, actor).fit()
        except Exception:
            if dispatcher.failure is None:
                raise
        if dispatcher.failure is not None:
            raise dispatcher.failure
        if not dispatcher.finished:
            raise RuntimeError("Ray Tune ended before the search did: run the same command again to continue")


def _clock(settings: Settings, controller: Controller) -> VirtualClock | None:
    """Return the virtual clock of a search on this machine.

    None for a cluster: its machines may come late or be lost, so that a fixed number of workers would wait for them.
    """
    if settings.ray_address is not None:
        return None
    return VirtualClock(
        min(settings.num_workers, num_places(settings)),
        lambda job, rung: work_of_rung(
            job.request, rung, controller.history.record(job.number).flops_ratio, controller.rows
        ),
    )


def _tuner(settings: Settings, dispatcher: Dispatcher, actor: type[TrialActor]) -> TunerInternal:
    """Return Tune's driver, which runs in this process; `Tuner` would run it on the cluster for a `ray://` address."""
    vars(ray_tune_module)["TuneController"] = PatientController
    if ray.util.client.ray.is_connected():  # this process has no folder of a Ray node for Tune's staging
        vars(ray_storage)["_get_ray_train_session_dir"] = lambda: str(settings.run_folder / "ray" / "session")
    return TunerInternal(
        trainable=tune.with_resources(actor, {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_of_a_trial}),
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=StudySearcher(dispatcher),
            scheduler=RungScheduler(dispatcher),
            reuse_actors=True,
            max_concurrent_trials=settings.num_workers,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            # A new name at each start, since Tune's own state is never restored.
            name=f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}",
            storage_path=str(settings.run_folder / "ray"),
            verbose=0,
            callbacks=[TrialEvents(dispatcher)],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
        _tuner_kwargs={"_remote": False},
    )


def _name(trial: TuneTrial) -> str:
    """Return the name shown by TensorBoard: the job's, which has the trial's number, and Tune's id of the attempt."""
    return f"{trial.config['name']}-{trial.trial_id}"
