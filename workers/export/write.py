"""Exports plans: builds, saves, checks and describes each model in a new folder, then moves the folder to its place."""

from __future__ import annotations

import copy
import json
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from objectives.memory import parameter_bytes
from spaces.plan import Plan
from workers.data.load_split import load_samples
from workers.describe import check_fit, describe_model
from workers.export.base_config import write_base_form
from workers.export.bundle import MODELING, write_bundle
from workers.export.card import write_card
from workers.export.check import Checked, ask_reference, check
from workers.export.engines.engines import EngineRun, engines_for, run_engine
from workers.export.folder import replacing
from workers.export.gguf import find_converter, write_gguf
from workers.export.layer_facts import Facts, config_facts
from workers.export.plan_record import record_of
from workers.export.remote_code import merged_state
from workers.export.request import ExportRequest
from workers.export.route import Badge, ExportError, Route, export_route
from workers.export.route_costs import costs_of
from workers.export.stock_layers import build, facts_of
from workers.export.timings import keep_timings, read_timings
from workers.fingerprints import fingerprint_model, fingerprint_samples
from workers.models.loaded_model import LoadedModel
from workers.models.model_files import checkpoint, read_config
from workers.models.processor import NO_VIDEO
from workers.pruning.inputs import PruningInputs
from workers.session import Session
from workers.software import versions
from workers.sources import ModelSource

MAX_SHARD_SIZE = "5GB"
"""Maximum size of a file of weights."""
MAPPING_MODULE = "mapping_module/model.safetensors"
"""File of the mapping module in the folder of a language model; in a subfolder, so that engines do not load it."""
Say = Callable[[str], None]


def export(requests: Mapping[str, ExportRequest], folder: Path, force: bool = False, say: Say = print) -> None:
    """Export one plan into `folder`, or several plans of the same model and data into folders below it.

    All folders appear at once, after all of them have been checked. After an error, the target is unchanged.

    Args:
        requests: name of the folder below `folder` -> request; the name of a single one is `.`.
        folder: the target.
        force: True to replace an existing folder.
        say: called with lines of progress.

    Raises:
        ExportError: a plan cannot be exported, the model or the data changed since the search, the target cannot be
            written, or an export differs from the in-search model.
    """
    first = next(iter(requests.values()))
    source = _source(first)
    check_base(first)
    facts = _facts(source)
    shape = describe_model(source)
    for request in requests.values():
        check_fit(shape, request.trial)
        engines_for(request.engines, route := export_route(request.trial.plan, facts, request.form))
        if route.gguf:
            find_converter()
    room = sum(parameter_bytes(shape, request.trial.plan) for request in requests.values())
    with replacing(folder, force, room) as partial:
        exporter = Exporter(Session(source, first.trial.data), say)
        for name, request in requests.items():
            place = partial / name
            place.mkdir(exist_ok=True)
            exporter.write(request, place)


def _facts(source: ModelSource) -> Facts:
    """Return the properties of the model that follow from its config alone."""
    from transformers import AutoConfig

    options = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    return config_facts(AutoConfig.from_pretrained(checkpoint(source), **options))


def check_base(request: ExportRequest) -> None:
    """Check that model and data are those of the search.

    Raises:
        ExportError: a fingerprint differs.
    """
    seen, trial = request.fingerprints, request.trial
    marks: dict[str, Callable[[], str]] = {
        "model": lambda: fingerprint_model(trial.model),
        "data set": lambda: fingerprint_samples(load_samples(trial.data, "search")),
    }
    for what, mark in marks.items():
        if what in seen and mark() != seen[what]:
            name = trial.model.name if what == "model" else trial.data.name
            raise ExportError(
                f"the {what} must be that of the search, got {name} with another fingerprint ({mark()} now, "
                f"{seen[what]} then): restore the old one, or search again"
            )


def _source(request: ExportRequest) -> ModelSource:
    """Return the base model in the dtype of the export."""
    source = request.trial.model
    return source if request.dtype == "auto" else source.model_copy(update={"dtype": request.dtype})


def save_mapping_module(loaded: LoadedModel, file: Path) -> None:
    """Write the weights of the mapping module, under their names in the whole model.

    Args:
        loaded: the model.
        file: the safetensors file, whose folder is created.
    """
    file.parent.mkdir()
    merged = merged_state(loaded.model)
    paths = tuple(f"{path}." for path in loaded.mapping)
    save_file(
        {
            name: tensor.contiguous()
            for name, tensor in merged.items()
            if name.startswith(paths) or name in loaded.weights
        },
        file,
    )


def save_model(model: Any, route: Route, place: Path, source: ModelSource, inputs: PruningInputs | None = None) -> None:
    """Save weights, config and generation config of an export; the config of stock layers has the base's form.

    Args:
        model: the loaded base model.
        route: the form of the export.
        place: the folder to write into.
        source: the base model, whose `config.json` is read.
        inputs: inputs of the pruned blocks; None if the plan needs none.
    """
    built = build(model, route, inputs)
    built.save_pretrained(place, max_shard_size=MAX_SHARD_SIZE)
    if route.badge in (Badge.STOCK, Badge.ZEROED):
        write_base_form(place, read_config(source), model.config, built.config)


class Exporter:
    """Writes exports of one loaded model."""

    def __init__(self, session: Session, say: Say) -> None:
        self.session, self.say = session, say
        if getattr(session.loaded.processor, "video_processor", None) is NO_VIDEO:
            raise ExportError(
                f"an exported processor must be complete, got {type(session.loaded.processor).__name__} without its "
                "video part, which needs torchvision: install torchvision"
            )
        self.processor = copy.deepcopy(session.loaded.processor)  # a copy, because padding changes the tokenizer

    def write(self, request: ExportRequest, place: Path) -> None:
        """Write one export into the empty folder `place` and check it.

        Raises:
            ExportError: the export differs from the in-search model.
        """
        before = torch.get_num_threads()
        torch.set_num_threads(request.trial.threads or before)
        self.session.make_dense()
        try:
            if request.trial.plan.is_calibrated:
                self.session.calibrate()
            if request.trial.mapping_module:
                self.session.read_mapping_module(Path(request.trial.mapping_module), request.trial)
            self._write(request, place)
        finally:
            self.session.make_dense()
            torch.set_num_threads(before)

    def _write(self, request: ExportRequest, place: Path) -> None:
        loaded, prepared = self.session.loaded, self.session.split("test")
        plan = request.trial.plan
        facts = facts_of(loaded.model)
        route = export_route(plan, facts, request.form)
        engines = engines_for(request.engines, route)
        workload = self.session.workload(request.trial)
        spent = costs_of(route, request.trial.deploy, facts, self.session.shape, workload)
        self.say(f"{plan}: {len(route.layers)} layers, {route.badge}, {spent}")
        for note in route.notes:
            self.say(f"  {note}")
        reference = ask_reference(
            loaded, prepared, plan, self.inputs, self.session.metric(request.trial), request.questions
        )
        self._save(route, place, request.trial.model)
        what = self._timed(request, plan, route)
        seconds = read_timings(request.timings, what)
        checked = check(place, route, request, loaded, prepared, reference, time=seconds is None)
        if seconds is None:
            keep_timings(request.timings, what, checked.result["seconds"])
        else:
            checked.result["seconds"] = seconds
        ran = [run_engine(name, place, route, loaded, self.inputs, prepared.samples) for name in engines]
        self._check_gguf(ran)
        record = record_of(place, request, route, spent, workload, reference, checked, ran, prepared.samples[0])
        (place / "plan.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        write_card(place, record, request.drawing)
        self._print_result(record, checked)

    @property
    def inputs(self) -> PruningInputs:
        """Return the inputs of the pruned blocks, as the search used them."""
        return self.session.pruning_inputs

    def _save(self, route: Route, place: Path, source: ModelSource) -> None:
        """Save weights, config, generation config, processor and, depending on the form, modeling file and GGUF."""
        loaded = self.session.loaded
        save_model(loaded.model, route, place, source, self.inputs)
        reader = copy.deepcopy(self.processor)
        if route.badge.is_language_model:
            reader = reader.tokenizer
            save_mapping_module(loaded, place / MAPPING_MODULE)
        reader.save_pretrained(place)
        for path in place.rglob("*.safetensors"):
            shutil.copymode(place / "config.json", path)  # safetensors removes read permission for others
        if route.badge in MODELING:
            write_bundle(MODELING[route.badge], place)
        if route.gguf:
            write_gguf(place, str(loaded.model.dtype).removeprefix("torch."))

    def _check_gguf(self, ran: Sequence[EngineRun]) -> None:
        """Raise ExportError if llama.cpp ran and computes other log-probabilities than the in-search model."""
        for run in ran:
            if run.engine == "llama.cpp" and not run.agrees:
                raise ExportError(
                    f"a GGUF must compute what the search measured, got a difference of {run.largest_difference} nats "
                    f"in llama.cpp ({run.error or 'other log-probabilities'}): use --format nemotron-nas"
                )

    def _timed(self, request: ExportRequest, plan: Plan, route: Route) -> dict[str, Any]:
        """Return the conditions that a measured time depends on."""
        return {
            "plan": plan.digest,
            "badge": str(route.badge),
            "dtype": str(self.session.loaded.model.dtype),
            "model": self.session.fingerprints["model"],
            "versions": versions(),
            "machine": platform.processor() or platform.machine(),
            "device": str(self.session.loaded.device),
            "threads": torch.get_num_threads(),
        }

    def _print_result(self, record: dict[str, Any], checked: Checked) -> None:
        done, measured = record["checked"], record["measured"]
        sizes = measured["parameters"]
        self.say(
            f"  reloaded in a fresh process: logits {'bit-equal' if checked.bit_equal else 'close'}, accuracy "
            f"{done['accuracy']:.4f} on {done['questions']} questions "
            f"(in-search model {done['in_search_accuracy']:.4f})"
        )
        for run in record["engines"]:
            result = run["error"] or f"log-probabilities differ by at most {run['largest_difference']:.2g}"
            self.say(f"  {run['engine']} {run['version']}: {result}")
        self.say(f"  {sizes['exported']:,} of {sizes['dense']:,} parameters")
        for case, seconds in measured["seconds"].items():
            self.say(f"  {case}: {seconds['exported']:.4f} s, dense {seconds['dense']:.4f} s")
