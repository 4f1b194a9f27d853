"""Loads the model of `--model_args`: an exported folder, or a base model under a plan."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError, model_validator

from spaces.names import unknown
from spaces.plan import Plan
from workers.apply_plan import apply_plan
from workers.describe import check_fit, describe_model
from workers.export.load_exported import load_exported
from workers.message import Message
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import ATTENTIONS, DTYPES, load_model, pick_device
from workers.models.loaded_model import LoadedModel
from workers.models.model_files import read_json
from workers.models.processor import load_processor
from workers.models.prompt_forms import prompt_form
from workers.models.stored_mapping_module import read_mapping_module
from workers.models.vision_replay import Replay
from workers.requests import TrialRequest
from workers.sources import ModelSource


def _is_known(attention: str) -> str:
    if attention not in ATTENTIONS:
        raise unknown("attention implementation", attention, ATTENTIONS)
    return attention


class ModelArguments(Message):
    """The arguments of `--model_args`; either `pretrained` or `base` is given."""

    pretrained: str | None = None
    """Folder written by `search.export`."""
    base: str | None = None
    """`embedded`, a Hugging Face hub id, or a local folder."""
    plan: str | None = None
    """Text of the plan that the base model runs under; None for the dense model."""
    mapping: str | None = None
    """Stored mapping module of a trial, tuned for the plan, which replaces that of the base model."""
    revision: str | None = None
    """Revision of the base model on the hub."""
    dtype: str = "auto"
    """Data type of the weights; auto is that of the checkpoint."""
    attn_implementation: Annotated[str, AfterValidator(_is_known)] = "sdpa"
    """Attention implementation of transformers, sdpa or eager."""
    trust_remote_code: bool = False
    """Run code that comes with the base model."""
    device: str = "auto"
    """Device of the model."""
    batch_size: int = Field(1, ge=1)
    """Number of questions that are answered together."""
    max_batch_size: int | None = None
    """Not used; lmms-eval passes it to every model."""

    @model_validator(mode="after")
    def _one_model(self) -> ModelArguments:
        if (self.pretrained is None) == (self.base is None):
            raise ValueError(
                f"--model_args must have pretrained=FOLDER or base=MODEL, got {'none' if self.base is None else 'both'}"
                ": give one of them"
            )
        extra = [name for name in ("plan", "mapping", "revision") if getattr(self, name) is not None]
        if self.pretrained is not None and extra:
            raise ValueError(
                f"an exported folder has its plan and its mapping module, got pretrained and {', '.join(extra)}: "
                f"leave {extra[0]} out, or give base=MODEL instead of pretrained"
            )
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)
        return self


def read_arguments(given: dict[str, object]) -> ModelArguments:
    """Return the checked arguments of `--model_args`.

    Args:
        given: the arguments as parsed by lmms-eval; None for those not given.

    Raises:
        ValueError: an argument is unknown or invalid; one line.
    """
    known = ModelArguments.model_fields
    for name in given:
        if name not in known:
            raise unknown("model argument", name, known)
    texts = {name: str(value) for name, value in given.items() if name in ("pretrained", "base", "plan", "mapping")}
    try:
        return ModelArguments.model_validate({name: v for name, v in {**given, **texts}.items() if v is not None})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"].removeprefix("Value error, ")) from None


def open_model(arguments: ModelArguments, stack: ExitStack) -> LoadedModel:
    """Return the loaded model; a plan stays applied until the stack is closed.

    Args:
        arguments: the checked arguments.
        stack: closed by the caller to restore the base model.

    Raises:
        ValueError: the model, the plan or the mapping module can't be used; one line.
    """
    return _exported(arguments) if arguments.pretrained is not None else _planned(arguments, stack)


def _planned(arguments: ModelArguments, stack: ExitStack) -> LoadedModel:
    """Return the base model under the plan, with the mapping module of a trial if one is given."""
    names = ("revision", "dtype", "attn_implementation", "trust_remote_code", "device")
    source = ModelSource.model_validate({"name": arguments.base} | {name: getattr(arguments, name) for name in names})
    shape = describe_model(source)
    plan = Plan.dense(shape.num_blocks) if arguments.plan is None else Plan.parse(arguments.plan)
    request = TrialRequest(plan=plan, model=source)
    check_fit(shape, request)
    if plan.is_calibrated:
        raise ValueError(
            f"a plan must need no calibration samples, got '{plan}': write it with python -m search.export and give "
            "pretrained=FOLDER"
        )
    loaded = load_model(source)
    if arguments.mapping is not None:
        read_mapping_module(loaded.weights, Path(arguments.mapping), request)
    stack.enter_context(apply_plan(loaded.model, plan))
    return loaded


def _exported(arguments: ModelArguments) -> LoadedModel:
    """Return the model of an exported folder. It has no trained weights here."""
    folder = Path(str(arguments.pretrained)).expanduser()
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    remote = config.get("auto_map", {})
    if "AutoModelForCausalLM" in remote and "AutoModelForImageTextToText" not in remote:
        raise ValueError(
            f"an exported folder must hold the whole model, got the language model alone in {folder}: "
            "export with --format transformers or remote-code"
        )
    model, _ = load_exported(folder, dtype=DTYPES[arguments.dtype], attn_implementation=arguments.attn_implementation)
    model = model.to(pick_device(arguments.device)).requires_grad_(False)
    processor = load_processor(ModelSource(name=str(folder)))
    family = str(config.get("model_type")).removeprefix("skipsearch_")
    form = prompt_form(family, str(folder)) if getattr(processor, "chat_template", None) is None else None
    return LoadedModel(model, processor, model.device, PromptEncoder(processor, form), (), {}, Replay(model))
