"""Decides the form in which a plan is exported, from the plan and the properties of the model. Imports no torch.

Stock layers hold the sub-layers that `pack_layers` puts together. A layer with one sub-layer only has zeros in the
place of the other, which costs as much as a whole one. A plan that stock transformers cannot express, or not without
such layers, runs by remote code, in which every block stays in place without the parts that its plan never runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from spaces.names import unknown
from spaces.plan import Group, Op, Plan, Scope
from spaces.pruning import FULL, Pruning
from workers.export.layer_facts import Facts
from workers.export.pack_layers import Layer, NotStock, pack_sublayers, sublayer_blocks, width_of


class ExportError(ValueError):
    """An export is not possible. The message is one line for the user."""


class Badge(StrEnum):
    """The software that runs an export."""

    STOCK = "transformers"
    """Stock transformers, through AutoModelForImageTextToText."""
    ZEROED = "transformers (zeroed sub-layers)"
    """As STOCK, but some layers have a zeroed sub-layer, whose parameters and FLOPs are not saved."""
    REMOTE = "remote code"
    """transformers with trust_remote_code=True, or `workers.load_exported`."""
    NEMOTRON = "nemotron-nas"
    """The language model alone, for engines that read `DeciLMForCausalLM`."""
    GGUF = "GGUF"
    """In addition to NEMOTRON: a GGUF of the same language model, for llama.cpp."""
    SPARSE = "sparse kernels needed"
    """In addition to another badge: some weights are zero, which saves nothing without sparse kernels."""

    @property
    def is_language_model(self) -> bool:
        """Return True if the exported model is the language model only; the mapping module is then a separate file."""
        return self in (Badge.NEMOTRON,)


FORMATS = ("auto", "transformers", "remote-code", "nemotron-nas", "gguf")
"""Forms of an export; `auto` selects stock transformers if they save all that the plan skips, else remote code."""
LANGUAGE_ONLY = ("nemotron-nas", "gguf")
"""Formats of the language model alone."""
ZERO_CHANNELS = 256
"""Zero FFN channels of a nemotron-nas layer that has attention only. llama.cpp drops such a layer without an FFN."""


@dataclass(frozen=True)
class Route:
    """The form of an export: the layers of the decoder, the badge, and notes for the user."""

    plan: Plan
    badge: Badge
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    gguf: bool = False
    """True if the folder has a GGUF besides the nemotron-nas files."""

    @property
    def badges(self) -> tuple[Badge, ...]:
        """Return all badges: the main one, GGUF if the folder has one, and SPARSE if weights are zeroed."""
        own = (self.badge, Badge.GGUF) if self.gguf else (self.badge,)
        sparse = any(block.pruning is not None and block.pruning.method is not None for block in self.plan.blocks)
        return (*own, Badge.SPARSE) if sparse else own

    @property
    def width(self) -> Pruning | None:
        """Return the width of the layers as a pruning, or None at full width; all stock layers have the same width."""
        heads, channels = (
            min((width_of(self.plan, index, name) for index in blocks), default=FULL)
            for name, blocks in sublayer_blocks(self.layers).items()
        )
        return Pruning(head_width=heads, ffn_width=channels) if min(heads, channels) < FULL else None

    def fills(self, number: int) -> bool:
        """Return True if the missing sub-layer of layer `number` is filled with zeros.

        Engines of nemotron-nas models expect an attention in the first layer.
        """
        return self.badge is Badge.ZEROED or (
            self.badge is Badge.NEMOTRON and number == 0 and self.layers[number].attention is None
        )

    @property
    def deployed(self) -> Plan:
        """Return the plan with the sub-layers that are filled with zeros, which cost as much as those of the model."""
        blocks = list(self.plan.blocks)
        for number, layer in enumerate(self.layers):
            if not layer.is_whole and self.fills(number):
                blocks[layer.source] = replace(blocks[layer.source], op=Op.KEEP)
        return Plan(tuple(blocks))

    @property
    def num_zero_ffns(self) -> int:
        """Return the number of layers that have an FFN of `ZERO_CHANNELS` zero channels."""
        return sum(layer.ffn is None for layer in self.layers) if self.badge is Badge.NEMOTRON else 0

    @property
    def kept_blocks(self) -> tuple[int, ...]:
        """Return the blocks of the dense model of which at least one sub-layer remains."""
        parts = {part for layer in self.layers for part in (layer.attention, layer.ffn)}
        return tuple(sorted(part for part in parts if part is not None))


def export_route(plan: Plan, facts: Facts, form: str = "auto") -> Route:
    """Return the form in which to export a plan.

    Args:
        plan: the plan to export.
        facts: properties of the model.
        form: one of `FORMATS`.

    Raises:
        ExportError: the given form cannot express the plan.
        ValueError: `form` is unknown; the message suggests the nearest one.
    """
    if form not in FORMATS:
        raise unknown("export format", form, FORMATS)
    if form == "remote-code":
        return _remote(plan, "requested")
    try:
        layers = pack_sublayers(plan)
        route = _nemotron(plan, facts, layers, form) if form in LANGUAGE_ONLY else _stock(plan, facts, layers)
        if form == "auto" and route.badge is Badge.ZEROED:
            raise NotStock(f"as stock layers, {_lone(layers)}, which saves nothing")
        return route
    except NotStock as reason:
        if form == "auto":
            return _remote(plan, str(reason))
        raise ExportError(
            f"--format {form} must be a plan that its layers can hold, got '{plan}' ({reason}): use --format auto"
        ) from None


def _check_widths(plan: Plan, facts: Facts, layers: tuple[Layer, ...]) -> None:
    """Raise NotStock unless all layers have the same number of heads and channels, as stock layers do."""
    for name, blocks in sublayer_blocks(layers).items():
        widths = {width_of(plan, index, name) for index in blocks}
        if len(widths) > 1:
            raise NotStock("its blocks are of different widths")
        missing = [
            key for key in ("num_key_value_heads", "head_dim", "intermediate_size") if not hasattr(facts.text, key)
        ]
        if widths - {FULL} and missing:
            raise NotStock(f"the config has no {missing[0]} to say how wide layers are")


def _stock(plan: Plan, facts: Facts, layers: tuple[Layer, ...]) -> Route:
    for number in range(facts.fixed):
        if number >= len(layers) or layers[number] != Layer(number, number):
            raise NotStock(f"block {number} must stay in its place: {facts.why_fixed}")
    if any(layer.is_whole and layer.attention != layer.ffn for layer in layers) and not facts.mixable:
        raise NotStock("blocks have weights that are neither of their attention nor of their FFN")
    _check_widths(plan, facts, layers)
    lone = [layer for layer in layers if not layer.is_whole]
    if not lone:
        return Route(plan, Badge.STOCK, layers, ())
    if not facts.can_silence:
        raise NotStock("no single linear layer silences a sub-layer of a block")
    note = (
        f"{_lone(layers)}; the other one is zeros, so its parameters and FLOPs are not saved: --format remote-code "
        "saves them"
    )
    return Route(plan, Badge.ZEROED, layers, (note,))


def _lone(layers: tuple[Layer, ...]) -> str:
    """Return which layers have one sub-layer only, for users."""
    lone = [layer for layer in layers if not layer.is_whole]
    named = ", ".join(f"{'FFN' if layer.attention is None else 'attention'} {layer.source}" for layer in lone)
    return f"{len(lone)} of {len(layers)} layers have one sub-layer only ({named})"


def check_language_model(facts: Facts, form: str, got: str) -> None:
    """Raise ExportError if a model can't be exported in a format of the language model alone.

    Args:
        facts: properties of the model.
        form: one of `LANGUAGE_ONLY`.
        got: the plan or the model, for the message.
    """
    text = facts.text
    rules: dict[str, Callable[[], bool]] = {  # in this order: other decoders need not have the fields of a Llama
        "a Llama decoder": lambda: text.model_type == "llama",
        "a model whose FFN channels are a multiple of 256": lambda: text.intermediate_size % 256 == 0,
        "a model whose heads together are as wide as it": lambda: (
            text.hidden_size == text.num_attention_heads * text.head_dim
        ),
    }
    for rule, holds in rules.items():
        if not holds():
            raise ExportError(f"--format {form} must be {rule}, got another for '{got}': use --format auto")


def _nemotron(plan: Plan, facts: Facts, layers: tuple[Layer, ...], form: str) -> Route:
    check_language_model(facts, form, str(plan))
    if not layers:
        raise ExportError(f"--format {form} must be a plan with a layer, got another for '{plan}': use --format auto")
    _check_widths(plan, facts, layers)
    notes = ["the language model alone: the vision tower is that of the base model, the projector is in mapping_module"]
    if layers[0].attention is None:
        notes.append("the first layer has an attention of zeros, as engines expect one there")
    if alone := sum(layer.ffn is None for layer in layers):
        notes.append(
            f"{alone} layers without FFN have one of {ZERO_CHANNELS} zero channels, without which llama.cpp drops them"
        )
    return Route(plan, Badge.NEMOTRON, layers, tuple(notes), gguf=form == "gguf")


def _remote(plan: Plan, why: str) -> Route:
    """Return the route by remote code, with every block in place; blocks without any sub-layer are not listed."""
    sublayers = (
        [index if any(runs(group) for group in Group) else None for runs in (block.runs_attention, block.runs_ffn)]
        for index, block in enumerate(plan.blocks)
    )
    layers = tuple(Layer(*each) for each in sublayers if each != [None, None])
    return Route(plan, Badge.REMOTE, layers, (f"remote code: {why}", served(plan)))


def served(plan: Plan) -> str:
    """Return a line for the user: can vLLM's Transformers backend run this plan by remote code?

    The backend runs a flat batch of the tokens of many requests, without marking which of them are visual or generated,
    and gives all layers the number of heads in the config.
    """
    for index, block in enumerate(plan.blocks):
        if block.op is not Op.KEEP and block.scope is not Scope.ALL:
            return f"vLLM can't run it: {block.name} at block {index} depends on the kind of a token, which vLLM hides"
    if any(width_of(plan, index, "head_width") < FULL for index in range(len(plan.blocks))):
        return "vLLM can't run it: it gives all layers the number of heads of the config"
    return "vLLM: the model keeps to the calls of its Transformers backend, and should run; that was not tried"
