"""Holds the state of a worker between trials: the model, its dense mapping module, prepared splits, tuning batches."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from objectives.workload import Workload
from workers.data.pick_metric import pick_metric
from workers.data.sample import Sample, SplitData
from workers.describe import describe_model, describe_workload
from workers.fingerprints import fingerprint
from workers.inference.prepare import Prepared, prepare
from workers.models.load_model import load_model
from workers.models.stored_mapping_module import read_mapping_module
from workers.models.trainable import copy_state, put_state
from workers.pruning.calibrate import calibrate
from workers.pruning.files import read_masks
from workers.pruning.inputs import Norms, PruningInputs
from workers.pruning.make import masks_for
from workers.requests import TrialRequest, TuningRecipe
from workers.sources import DataSource, ModelSource, Split
from workers.tuning import TuningSchedule
from workers.usable_rows import usable_split


class Session:
    """One model and one data set, loaded."""

    def __init__(self, model: ModelSource, data: DataSource) -> None:
        self.model_source, self.data_source = model, data
        self.shape = describe_model(model)
        self.loaded = load_model(model)
        self.dense = copy_state(self.loaded.weights)
        self.fingerprints = fingerprint(model, data)
        self._splits: dict[Split, Prepared] = {}
        self._tuning_schedules: dict[tuple[TuningRecipe, int], TuningSchedule] = {}
        self._workload: Workload | None = None
        masks = masks_for(self.loaded.model, read_masks(Path(model.masks))) if model.masks else None
        self.pruning_inputs = PruningInputs(masks=masks)

    def calibrate(self) -> None:
        """Compute, once, the input norms that calibrated pruning needs. No plan may be applied to the model."""
        if not self.pruning_inputs.norms:
            self.pruning_inputs = replace(self.pruning_inputs, norms=self.norms())

    def norms(self, kinds: Collection[str] = ()) -> Norms:
        """Return the input norms of all linear layers over the train split.

        Args:
            kinds: kinds of questions to use; empty for all.
        """
        return calibrate(self.loaded, self.split("train"), self.data_source.max_calibration, kinds)

    def split(self, name: Split) -> Prepared:
        """Return a split, read and encoded at first use."""
        if name not in self._splits:
            self._splits[name] = prepare(self.loaded, self.samples(name))
        return self._splits[name]

    def tuning_schedule(self, recipe: TuningRecipe, seed: int) -> TuningSchedule:
        """Return the tuning schedule of a recipe and seed; the last one is cached, with its batches."""
        key = (recipe, seed)
        if key not in self._tuning_schedules:
            self._tuning_schedules = {key: TuningSchedule(self.loaded, self.split("train"), recipe, seed)}
        return self._tuning_schedules[key]

    def workload(self, request: TrialRequest) -> Workload:
        """Return the workload of the request, or the means of the search split."""
        if request.workload is not None:
            return request.workload
        if self._workload is None:
            self._workload = describe_workload(self.model_source, self.samples("search"))
        return self._workload

    def metric(self, request: TrialRequest) -> str:
        """Return the metric of the request, or the default one for the data.

        Raises:
            ValueError: the metric does not fit the data.
        """
        return pick_metric(self._read("search"), request.metric)

    def skipped_images(self) -> dict[str, int]:
        """Return the number of skipped rows per split in use."""
        return {name: self._read(name).skipped for name in self._splits}

    def make_dense(self) -> None:
        """Restore the trained weights to their values after loading."""
        put_state(self.loaded.weights, self.dense)

    def read_mapping_module(self, file: Path, request: TrialRequest) -> None:
        """Load a stored mapping module.

        Raises:
            ValueError: the file is missing, belongs to another model, or was tuned for another plan, trial or run.
        """
        read_mapping_module(self.loaded.weights, file, request)

    def samples(self, name: Split) -> Sequence[Sample]:
        """Return the questions of a split."""
        return self._read(name).samples

    def _read(self, name: Split) -> SplitData:
        return usable_split(self.model_source, self.data_source, name)
