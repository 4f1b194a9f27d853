"""The vision tower: stock EfficientNet with the weights of Lite equals a plain forward of Lite."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import EfficientNetModel

from workers.pretrained.packages import VISION_TOWER
from workers.pretrained.vision_tower import FILE, read_vision_weights, vision_config

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
"""Kernel, stride, expansion, channels and repeats: Tan & Le 2019 (arXiv 1905.11946), table 1."""


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """Return a folder with a package of random weights under the names of the real file, and the weights."""
    torch.manual_seed(0)
    weights = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    _add(weights, "_conv_stem", "_bn0", 32, (32, 3, 3, 3))
    for number, (kernel, _, expansion, inputs, outputs) in enumerate(_blocks()):
        name, width = f"_blocks.{number}", inputs * expansion
        if expansion > 1:
            _add(weights, f"{name}._expand_conv", f"{name}._bn0", width, (width, inputs, 1, 1))
        _add(weights, f"{name}._depthwise_conv", f"{name}._bn1", width, (width, 1, kernel, kernel))
        _add(weights, f"{name}._project_conv", f"{name}._bn2", outputs, (outputs, width, 1, 1))
    _add(weights, "_conv_head", "_bn1", 1280, (1280, 320, 1, 1))
    folder = tmp_path_factory.mktemp("packages")
    file = folder / f"{VISION_TOWER.name}-{VISION_TOWER.version}" / FILE
    file.parent.mkdir(parents=True)
    torch.save(weights, file)
    return folder, weights


def _blocks() -> list[tuple[int, int, int, int, int]]:
    """Return kernel, stride, expansion, input and output channels of every block."""
    blocks, inputs = [], 32
    for kernel, stride, expansion, outputs, repeats in STAGES:
        for repeat in range(repeats):
            blocks.append((kernel, stride if repeat == 0 else 1, expansion, inputs, outputs))
            inputs = outputs
    return blocks


def _add(weights: dict[str, Tensor], conv: str, norm: str, channels: int, shape: tuple[int, ...]) -> None:
    weights[f"{conv}.weight"] = torch.randn(shape) / (shape[1] * shape[2] * shape[3]) ** 0.5
    weights[f"{norm}.weight"], weights[f"{norm}.bias"] = torch.rand(channels) + 0.5, 0.1 * torch.randn(channels)
    weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"] = 0.1 * torch.randn(channels), torch.rand(channels)
    weights[f"{norm}.num_batches_tracked"] = torch.tensor(1)


def test_features_are_those_of_lite(lite: tuple[Path, dict[str, Tensor]]) -> None:
    folder, weights = lite
    model = EfficientNetModel(vision_config()).eval()
    model.load_state_dict(read_vision_weights(folder))  # strict: no weight is missing or left over
    pixels = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        features = model(pixels).last_hidden_state
        expected = _forward(weights, pixels)
    assert features.shape == (2, 1280, 4, 4)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def _forward(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    hidden = _conv(weights, "_conv_stem", "_bn0", pixels, stride=2).clamp(0, 6)
    for number, (_, stride, expansion, inputs, outputs) in enumerate(_blocks()):
        name, before = f"_blocks.{number}", hidden
        if expansion > 1:
            hidden = _conv(weights, f"{name}._expand_conv", f"{name}._bn0", hidden).clamp(0, 6)
        hidden = _conv(weights, f"{name}._depthwise_conv", f"{name}._bn1", hidden, stride, grouped=True).clamp(0, 6)
        hidden = _conv(weights, f"{name}._project_conv", f"{name}._bn2", hidden)
        hidden = hidden + before if stride == 1 and inputs == outputs else hidden
    return _conv(weights, "_conv_head", "_bn1", hidden).clamp(0, 6)


def _conv(
    weights: dict[str, Tensor], conv: str, norm: str, hidden: Tensor, stride: int = 1, grouped: bool = False
) -> Tensor:
    """Return a convolution with TensorFlow's `same` padding and its batch norm."""
    kernel = weights[f"{conv}.weight"]
    size = hidden.shape[-1]
    pad = max((-(-size // stride) - 1) * stride + kernel.shape[-1] - size, 0)
    hidden = F.pad(hidden, [pad // 2, pad - pad // 2] * 2)
    hidden = F.conv2d(hidden, kernel, stride=stride, groups=hidden.shape[1] if grouped else 1)
    own = [weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(hidden, *own, eps=1e-3)
