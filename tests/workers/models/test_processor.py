"""Processors with a video part are loaded without torchvision, wherever the video processor stands among the parts."""

import pytest

from tests.workers.hub import hub_processor
from workers.models.processor import NO_VIDEO, VIDEO, images_only, load_processor
from workers.sources import ModelSource


@pytest.mark.parametrize("family", ["llava_next_video", "video_llava", "qwen2_vl"])
def test_all_parts_but_the_video_part_are_loaded(family, tmp_path):
    processor = hub_processor(family)
    vars(processor).pop(VIDEO)
    with images_only():
        processor.save_pretrained(tmp_path)
    loaded = load_processor(ModelSource(name=str(tmp_path)))
    assert type(loaded) is type(processor)
    assert type(loaded.image_processor) is type(processor.image_processor)
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    assert loaded.video_processor is NO_VIDEO
