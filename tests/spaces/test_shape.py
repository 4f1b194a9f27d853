"""Derived sizes of a model shape, and invalid sizes."""

from dataclasses import replace

import pytest

from spaces.shape import ShapeError
from tests.objectives.shapes import LLAVA_7B, TINY


def test_positions_of_the_vision_tower():
    assert (LLAVA_7B.vision.num_patches, LLAVA_7B.vision.num_positions) == (576, 577)
    assert replace(LLAVA_7B.vision, has_class_token=False).num_positions == 576
    assert TINY.vision.num_patches == 4  # the fifth row and column of pixels fill no patch


def test_all_layers_of_the_tower_run():
    assert LLAVA_7B.vision.num_layers_run == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_blocks": 0}, "num_blocks of a model shape must be at least 1, got 0: check the config"),
        (
            {"bytes_per_parameter": -2},
            "bytes_per_parameter of a model shape must be at least 1, got -2: check the config",
        ),
        ({"num_parameters": 0}, "num_parameters of a model shape must be at least 1, got 0: check the config"),
        ({"num_kv_heads": 3}, "num_heads must be a multiple of num_kv_heads (3), got 2: check the config"),
        ({"projector": ((4, 0),)}, "a projector layer must be (inputs, outputs), both positive, got (4, 0)"),
        ({"projector": ((4, 8, 8),)}, "a projector layer must be (inputs, outputs), both positive, got (4, 8, 8)"),
    ],
)
def test_wrong_shape_is_refused(change, message):
    with pytest.raises(ShapeError) as caught:
        replace(TINY, **change)
    assert str(caught.value).startswith(message)


def test_wrong_vision_shape_is_refused():
    with pytest.raises(ShapeError, match="image_size must be at least patch_size 6, got 5: check it"):
        replace(TINY.vision, patch_size=6)
    with pytest.raises(ShapeError, match="num_heads of a model shape must be at least 1, got 0: check the config"):
        replace(TINY.vision, num_heads=0)
