"""Defines the shape of a vision-language model: the numbers that determine FLOPs and memory."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple

from spaces.kinds import PLAIN, BlockKind
from spaces.pruning import Pruning


class ShapeError(ValueError):
    """A model shape has an impossible size. The message is one line for the user."""


@dataclass(frozen=True, kw_only=True)
class VisionShape:
    """The shape of a vision transformer whose FFN is two linear layers, such as CLIP's."""

    num_layers: int
    """Transformer layers of the tower."""
    hidden_size: int
    num_heads: int
    ffn_size: int
    """Width between the two linear layers of the FFN."""
    num_channels: int
    """Color channels of the image."""
    image_size: int
    """Height and width of the image in pixels."""
    patch_size: int
    """Height and width of a patch in pixels."""
    has_class_token: bool = True

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.image_size < self.patch_size:
            raise ShapeError(
                f"image_size must be at least patch_size {self.patch_size}, got {self.image_size}: check it"
            )

    @property
    def num_patches(self) -> int:
        """Return the number of patches per image; pixels beyond the last whole patch are ignored."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def num_positions(self) -> int:
        """Return the number of rows of the tower per image: the patches and the class token."""
        return self.num_patches + self.has_class_token

    @property
    def num_layers_run(self) -> int:
        """Return the number of layers run per image: all, since transformers selects the feature layer afterwards."""
        return self.num_layers


class Weights(NamedTuple):
    """Numbers of weights of the linear layers of one block."""

    query_and_output: int
    key_and_value: int
    ffn: int


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """The shape of a decoder with a vision tower and a projector before it."""

    num_blocks: int
    """Number of decoder blocks, which is also the number of blocks of a plan."""
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    """Number of key-value heads; fewer than `num_heads` in grouped-query attention."""
    head_size: int
    ffn_size: int
    gated_ffn: bool
    """True if the FFN has three linear layers (gate, up, down) instead of two."""
    vocab_size: int
    vision: VisionShape | None
    """None for a tower without a closed form, whose counted FLOPs are part of the workload."""
    projector: tuple[tuple[int, int], ...]
    """(inputs, outputs) of each linear layer of the projector, which are applied to all visual tokens."""
    visual_tokens_per_image: int | None
    """None if it depends on the image."""
    bytes_per_parameter: int
    """Bytes of one weight and of one cached key or value, such as 2 for float16."""
    num_parameters: int | None = None
    """Counted parameters of the whole model; None for the closed form of `objectives.memory`."""
    kinds: tuple[BlockKind, ...] = ()
    """Kind of each block; empty if all are plain."""
    tie_embeddings: bool = False
    """True if the LM head shares its weights with the token embedding."""
    saved_weights: tuple[Weights, ...] | None = None
    """Numbers of weights per block that the model's mask file keeps; None without a mask file."""

    def __post_init__(self) -> None:
        _check_positive(self)
        if self.num_heads % self.num_kv_heads:
            raise ShapeError(
                f"num_heads must be a multiple of num_kv_heads ({self.num_kv_heads}), got {self.num_heads}: "
                "check the config"
            )
        for layer in self.projector:
            if len(layer) != 2 or min(layer) < 1:
                raise ShapeError(
                    f"a projector layer must be (inputs, outputs), both positive, got {layer}: check the config"
                )
        if self.kinds and len(self.kinds) != self.num_blocks:
            raise ShapeError(
                f"a shape must have a kind for each of its {self.num_blocks} blocks, or none, got {len(self.kinds)}: "
                "check the config"
            )
        if self.vision is None and self.num_parameters is None:
            raise ShapeError(
                "num_parameters of a shape must be counted where its vision tower has no closed form, got none: "
                "count those of the model"
            )

    @property
    def block_kinds(self) -> tuple[BlockKind, ...]:
        """Return the kind of each block."""
        return self.kinds or (PLAIN,) * self.num_blocks

    def narrowed(self, pruning: Pruning | None) -> "ModelShape":
        """Return the shape of a model whose blocks all have the width of this pruning."""
        return self if pruning is None or not pruning.narrows else _narrowed(self, pruning)


@lru_cache(maxsize=1024)
def _narrowed(shape: ModelShape, pruning: Pruning) -> ModelShape:
    groups = pruning.kept_groups(shape.num_kv_heads)
    return replace(
        shape,
        num_kv_heads=groups,
        num_heads=groups * shape.num_heads // shape.num_kv_heads,
        ffn_size=pruning.kept_channels(shape.ffn_size),
    )


def _check_positive(shape: VisionShape | ModelShape) -> None:
    for field in fields(shape):
        value = getattr(shape, field.name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ShapeError(f"{field.name} of a model shape must be at least 1, got {value}: check the config")
