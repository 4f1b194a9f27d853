"""How a plan becomes a model on disk, decided from the plan and facts about the model. Imports no torch.

A plan is a row of halves: every surviving attention (S) and FFN (F), in order. An S right before an F is one ordinary
layer, whatever blocks they come from: FFN i skipped and attention i+1 skipped leave S i and F i+1 side by side. A
lone half costs a layer of its own. What stock transformers can't express runs by remote code, where every block stays
in its place and lacks what its plan never runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from spaces.names import unknown
from spaces.plan import Block, Group, Op, Plan
from spaces.pruning import FULL, Pruning
from workers.export.layer_facts import Facts


class ExportError(ValueError):
    """An export that can't be made. The message is one line for the user."""


class Badge(StrEnum):
    """Where an export runs."""

    STOCK = "transformers"
    """Any transformers, through AutoModelForImageTextToText."""
    ZEROED = "transformers (zeroed halves)"
    """The same, but some layers hold a half of zeros, whose parameters and FLOPs are not saved."""
    REMOTE = "remote code"
    """transformers with trust_remote_code=True, or `workers.load_exported`."""
    NEMOTRON = "vLLM, llama.cpp, mlx-lm (nemotron-nas)"
    """Engines that know `DeciLMForCausalLM`; the language model alone."""
    SPARSE = "sparse kernels needed"
    """Beside another one: weights are zero, which saves nothing by itself."""


FORMATS = ("auto", "transformers", "remote-code", "nemotron-nas")
"""`auto` takes stock transformers wherever they can express the plan, else remote code."""


@dataclass(frozen=True)
class Layer:
    """One layer of the exported decoder: the blocks of the dense model that its halves come from."""

    attention: int | None
    ffn: int | None

    @property
    def is_whole(self) -> bool:
        return self.attention is not None and self.ffn is not None

    @property
    def source(self) -> int:
        """The block that a lone half comes from; of two, the attention's."""
        block = self.attention if self.attention is not None else self.ffn
        assert block is not None
        return block


HALVES = {Op.KEEP: "SF", Op.SKIP_ATTN: "F", Op.SKIP_FFN: "S", Op.SKIP_BLOCK: ""}
"""What is left of a block under an op that stock layers can express."""


@dataclass(frozen=True)
class Route:
    """The decision: layers of the exported decoder, where they run, and what the user should know."""

    plan: Plan
    badge: Badge
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]

    @property
    def badges(self) -> tuple[Badge, ...]:
        """Where it runs, and what else it needs to save what its plan says."""
        sparse = any(block.pruning is not None and block.pruning.method is not None for block in self.plan.blocks)
        return (self.badge, Badge.SPARSE) if sparse else (self.badge,)

    @property
    def width(self) -> Pruning | None:
        """How much narrower the layers are; None where they aren't. Of stock layers only: theirs are alike."""
        heads, channels = (
            min((width_of(self.plan, index, name) for index in blocks), default=FULL)
            for name, blocks in halves_of(self.layers).items()
        )
        return Pruning(head_width=heads, ffn_width=channels) if min(heads, channels) < FULL else None

    def fills(self, number: int) -> bool:
        """Whether the missing half of layer `number` is there as zeros.

        Engines add the first attention to the residual that everything else is added to: in nemotron-nas the first
        layer always has one.
        """
        return self.badge is Badge.ZEROED or (
            self.badge is Badge.NEMOTRON and number == 0 and self.layers[number].attention is None
        )

    @property
    def kept_blocks(self) -> tuple[int, ...]:
        """Blocks of the dense model of which something is left."""
        parts = {part for layer in self.layers for part in (layer.attention, layer.ffn)}
        return tuple(sorted(part for part in parts if part is not None))


def halves_of(layers: tuple[Layer, ...]) -> dict[str, list[int | None]]:
    """The blocks that attentions and FFNs come from, by the name of the width they have."""
    return {
        "head_width": [layer.attention for layer in layers],
        "ffn_width": [layer.ffn for layer in layers],
    }


def width_of(plan: Plan, block: int | None, name: str) -> int:
    """Percent of heads or channels that are left in a block; all where there is none."""
    pruning = None if block is None else plan.blocks[block].pruning
    return FULL if pruning is None else int(getattr(pruning, name))


class _NotStock(Exception):
    """Why stock layers can't express a plan."""


def export_route(plan: Plan, facts: Facts, form: str = "auto") -> Route:
    """How to export a plan for a model of which these are the facts.

    Raises ExportError where no form, or not the form asked for, can express the plan.
    """
    if form not in FORMATS:
        raise unknown("export format", form, FORMATS)
    if form == "remote-code":
        return _remote(plan, "asked for")
    try:
        layers = pack_halves(plan)
        return _nemotron(plan, facts, layers) if form == "nemotron-nas" else _stock(plan, facts, layers)
    except _NotStock as reason:
        if form == "auto":
            return _remote(plan, str(reason))
        raise ExportError(
            f"--format {form} must be a plan that its layers can hold, got '{plan}' ({reason}): use --format auto"
        ) from None


def pack_halves(plan: Plan) -> tuple[Layer, ...]:
    """The layers of a stock decoder. Raises `_NotStock` for what such a layer can't do."""
    layers: list[Layer] = []
    halves = list(_halves(plan))
    while halves:
        kind, block = halves.pop(0)
        if kind == "S" and halves and halves[0][0] == "F":
            layers.append(Layer(block, halves.pop(0)[1]))
        else:
            layers.append(Layer(block, None) if kind == "S" else Layer(None, block))
    return tuple(layers)


def _halves(plan: Plan) -> Iterator[tuple[str, int]]:
    for index, block in enumerate(plan.blocks):
        if block.op not in HALVES or block != Block(block.op, pruning=block.pruning):
            raise _NotStock(f"{block.name} at block {index} is no stock layer")
        yield from ((half, index) for half in HALVES[block.op])


def _check_widths(plan: Plan, facts: Facts, layers: tuple[Layer, ...]) -> None:
    """Stock layers have one number of heads and of channels for all of them."""
    for name, blocks in halves_of(layers).items():
        widths = {width_of(plan, index, name) for index in blocks}
        if len(widths) > 1:
            raise _NotStock("its blocks are of different widths")
        missing = [
            key for key in ("num_key_value_heads", "head_dim", "intermediate_size") if not hasattr(facts.text, key)
        ]
        if widths - {FULL} and missing:
            raise _NotStock(f"the config has no {missing[0]} to say how wide layers are")


def _stock(plan: Plan, facts: Facts, layers: tuple[Layer, ...]) -> Route:
    for number in range(facts.fixed):
        if number >= len(layers) or layers[number] != Layer(number, number):
            raise _NotStock(f"block {number} must stay in its place: {facts.why_fixed}")
    if any(layer.is_whole and layer.attention != layer.ffn for layer in layers) and not facts.mixable:
        raise _NotStock("blocks have weights that are neither of their attention nor of their FFN")
    _check_widths(plan, facts, layers)
    lone = [layer for layer in layers if not layer.is_whole]
    if not lone:
        return Route(plan, Badge.STOCK, layers, ())
    if not facts.can_silence:
        raise _NotStock("no single linear layer silences a half of a block")
    halves = ", ".join(f"{'FFN' if layer.attention is None else 'attention'} {layer.source}" for layer in lone)
    note = (
        f"{len(lone)} of {len(layers)} layers hold one half only ({halves}); the other half is zeros, so its "
        "parameters and FLOPs are not saved: --format remote-code saves them"
    )
    return Route(plan, Badge.ZEROED, layers, (note,))


def _nemotron(plan: Plan, facts: Facts, layers: tuple[Layer, ...]) -> Route:
    text = facts.text
    rules = {
        "a Llama decoder": text.model_type == "llama",
        "a model whose FFN channels are a multiple of 256": text.intermediate_size % 256 == 0,
        "a model whose heads together are as wide as it": text.hidden_size == text.num_attention_heads * text.head_dim,
        "a plan with a layer": bool(layers),
    }
    for rule, holds in rules.items():
        if not holds:
            raise ExportError(f"--format nemotron-nas must be {rule}, got another for '{plan}': use --format auto")
    _check_widths(plan, facts, layers)
    notes = ["the language model alone: the vision tower is that of the base model, the projector is in mapping_module"]
    if layers[0].attention is None:
        notes.append("the first layer has an attention of zeros, as engines expect one there")
    return Route(plan, Badge.NEMOTRON, layers, tuple(notes))


def _remote(plan: Plan, why: str) -> Route:
    """Every block in its place; those of which nothing is left are not listed."""
    halves = (
        [index if any(runs(group) for group in Group) else None for runs in (block.runs_attention, block.runs_ffn)]
        for index, block in enumerate(plan.blocks)
    )
    layers = tuple(Layer(*each) for each in halves if each != [None, None])
    return Route(plan, Badge.REMOTE, layers, (f"remote code: {why}",))
