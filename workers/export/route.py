"""How a plan becomes a model on disk, decided from plan and config alone. Imports no torch.

A plan is a row of halves: every surviving attention (S) and FFN (F), in order. An S right before an F is one ordinary
layer, whatever blocks they come from: FFN i skipped and attention i+1 skipped leave S i and F i+1 side by side. A
lone half costs a layer of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from spaces.names import unknown
from spaces.plan import Block, Op, Plan
from workers.families import Families


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


FORMATS = ("auto", "transformers", "remote-code", "nemotron-nas")
"""`auto` takes stock transformers wherever it can express the plan."""


@dataclass(frozen=True)
class Layer:
    """One layer of the exported decoder: the blocks of the dense model that its halves come from."""

    attention: int | None
    ffn: int | None
    parallel: bool = False

    @property
    def is_whole(self) -> bool:
        return self.attention is not None and self.ffn is not None

    @property
    def kind(self) -> str:
        """`SF` both one after the other, `P` both in parallel, `S` or `F` alone: what remote code is told."""
        if self.parallel:
            return "P"
        return ("S" if self.attention is not None else "") + ("F" if self.ffn is not None else "")

    @property
    def source(self) -> int:
        """The block that a lone half comes from; of two, the attention's."""
        block = self.attention if self.attention is not None else self.ffn
        assert block is not None
        return block


@dataclass(frozen=True)
class Decoder:
    """What silences a half of a block: the linear layers whose outputs are all that it adds."""

    attention_output: str
    ffn_output: str


DECODERS = {"llama": Decoder(attention_output="o_proj", ffn_output="down_proj")}
"""`model_type` of the text config -> its row. Halves are packed or zeroed only with one; whole blocks need none."""

REMOTE_CLASSES = {"llava": "SkipsearchLlavaForConditionalGeneration"}
"""`model_type` of the whole config -> its class in `modeling_skipsearch.py`."""

HALVES = {Op.KEEP: "SF", Op.SKIP_ATTN: "F", Op.SKIP_FFN: "S", Op.SKIP_BLOCK: "", Op.PARALLEL: "P"}
"""What is left of a block under an op. An op without a row can't be exported."""


@dataclass(frozen=True)
class Route:
    """The decision: layers of the exported decoder, where they run, and what the user should know."""

    badge: Badge
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]

    def fills(self, number: int) -> bool:
        """Whether the missing half of layer `number` is there as zeros.

        Engines add the first attention to the residual that everything else is added to: in nemotron-nas the first
        layer always has one.
        """
        return self.badge is Badge.ZEROED or (
            self.badge is Badge.NEMOTRON and number == 0 and self.layers[number].attention is None
        )

    @property
    def lone(self) -> tuple[Layer, ...]:
        """Layers that hold one half only."""
        return tuple(layer for layer in self.layers if not layer.is_whole)

    @property
    def kept_blocks(self) -> tuple[int, ...]:
        """Blocks of the dense model of which something is left."""
        parts = {part for layer in self.layers for part in (layer.attention, layer.ffn)}
        return tuple(sorted(part for part in parts if part is not None))


def export_route(plan: Plan, families: Families, form: str = "auto") -> Route:
    """How to export a plan for a model of these families.

    Raises ExportError where no form, or not the form asked for, can express the plan.
    """
    if form not in FORMATS:
        raise unknown("export format", form, FORMATS)
    layers = pack_halves(plan)
    needs_code = [layer for layer in layers if layer.parallel]
    if form in ("transformers", "nemotron-nas") and needs_code:
        raise ExportError(
            f"--format {form} must be a plan without parallel blocks, got '{plan}': use --format remote-code"
        )
    if form == "nemotron-nas":
        return _nemotron(plan, families, layers)
    if form == "remote-code" or needs_code:
        return _remote(plan, families, layers, bool(needs_code))
    return _stock(plan, families, layers)


def pack_halves(plan: Plan) -> tuple[Layer, ...]:
    """The layers of the exported decoder. Raises ExportError for an op, a scope or a pruning that no row describes."""
    layers: list[Layer] = []
    halves = list(_halves(plan))
    while halves:
        kind, block = halves.pop(0)
        if kind == "P":
            layers.append(Layer(block, block, parallel=True))
        elif kind == "S" and halves and halves[0][0] == "F":
            layers.append(Layer(block, halves.pop(0)[1]))
        else:
            layers.append(Layer(block, None) if kind == "S" else Layer(None, block))
    return tuple(layers)


def _halves(plan: Plan) -> Iterator[tuple[str, int]]:
    for index, block in enumerate(plan.blocks):
        if block.op not in HALVES or block != Block(block.op):
            raise ExportError(
                f"every block of an exported plan must be one of {', '.join(HALVES)} for all tokens, with its weights "
                f"unpruned, got {block.name} at block {index}: run this plan with workers.apply_plan, or export "
                "another trial"
            )
        yield from ((half, index) for half in HALVES[block.op])


def _stock(plan: Plan, families: Families, layers: tuple[Layer, ...]) -> Route:
    decoder = str(families.text.get("model_type") or families.model.default_text["model_type"])
    mixed = [layer for layer in layers if not layer.is_whole or layer.attention != layer.ffn]
    if mixed and decoder not in DECODERS:
        raise ExportError(
            f"a plan with halves can be exported for the decoders {', '.join(DECODERS)}, got '{plan}' for {decoder}: "
            "export a plan of whole blocks"
        )
    lone = [layer for layer in layers if not layer.is_whole]
    if not lone:
        return Route(Badge.STOCK, layers, ())
    halves = ", ".join(f"{'attention' if layer.kind == 'S' else 'FFN'} {layer.source}" for layer in lone)
    note = (
        f"{len(lone)} of {len(layers)} layers hold one half only ({halves}); the other half is zeros, so its "
        "parameters and FLOPs are not saved: --format remote-code saves them"
    )
    return Route(Badge.ZEROED, layers, (note,))


def _nemotron(plan: Plan, families: Families, layers: tuple[Layer, ...]) -> Route:
    text = families.text
    heads = text["num_attention_heads"]
    rules = {
        "a Llama decoder": text.get("model_type", families.model.default_text["model_type"]) == "llama",
        "an FFN whose channels are a multiple of 256": text["intermediate_size"] % 256 == 0,
        "heads that together are as wide as the model": text["hidden_size"]
        == heads * (text.get("head_dim") or text["hidden_size"] // heads),
        "a layer": bool(layers),
    }
    for rule, holds in rules.items():
        if not holds:
            raise ExportError(f"--format nemotron-nas must be {rule}, got another one for '{plan}': use --format auto")
    notes = ["the language model alone: the vision tower is that of the base model, the projector is in mapping_module"]
    if layers[0].attention is None:
        notes.append("the first layer has an attention of zeros, as engines expect one there")
    return Route(Badge.NEMOTRON, layers, tuple(notes))


def _remote(plan: Plan, families: Families, layers: tuple[Layer, ...], needed: bool) -> Route:
    model = str(families.config["model_type"])
    if model not in REMOTE_CLASSES:
        raise ExportError(
            f"remote code is written for {', '.join(REMOTE_CLASSES)}, got '{plan}' for {model}: export a plan without "
            "parallel blocks"
        )
    why = "parallel blocks need" if needed else "asked for:"
    return Route(Badge.REMOTE, layers, (f"{why} the modeling file in the folder",))
