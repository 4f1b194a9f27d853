"""Rows that a model can't process are found before a search, named, and counted."""

from dataclasses import replace

import pytest

from tests.workers.hub import hub_samples, save_hub
from workers.data.sample import SplitData
from workers.sources import DataSource, ModelSource
from workers.usable_rows import usable_split


@pytest.fixture(params=["llava", "idefics3"])
def model(request, tmp_path):
    """A model described by rows of a table, and one read through its processor."""
    return ModelSource(name=save_hub(tmp_path / "model", request.param))


def split_of(monkeypatch, samples):
    monkeypatch.setattr("workers.usable_rows.load_split", lambda data, split: SplitData(tuple(samples)))
    usable_split.cache_clear()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": "what is <image> the color ?"}, "its text contains <image>, which stands for an image"),
        ({"answers": ("red", " ")}, "one of its answers or options is blank"),
        ({"choices": ("red", "")}, "one of its answers or options is blank"),
        ({"question": "what " * 200}, "and the model has 128 positions"),
    ],
)
def test_a_row_that_cannot_be_asked(monkeypatch, model, change, reason):
    samples = hub_samples("search")
    split_of(monkeypatch, [*samples[:3], replace(samples[3], **change), *samples[4:]])
    data = DataSource(name="rows", max_unreadable=0.1)
    found = usable_split(model, data, "search")
    assert found.samples == (*samples[:3], *samples[4:])
    assert (found.skipped, found.rows) == (1, len(samples))
    usable_split.cache_clear()
    with pytest.raises(ValueError, match="1 of 18 rows of 'search'") as caught:
        usable_split(model, data.model_copy(update={"max_unreadable": 0.01}), "search")
    assert "row 3, " in str(caught.value) and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_can_be_asked_is_left_as_it_is(monkeypatch, model):
    samples = hub_samples("search")
    split_of(monkeypatch, samples)
    assert usable_split(model, DataSource(name="rows"), "search").samples == tuple(samples)


@pytest.mark.parametrize(
    ("family", "token"),
    [("gemma3", "<start_of_image>"), ("qwen2_vl", "<|vision_start|>"), ("idefics3", "<fake_token_around_image>")],
)
def test_every_token_for_images_is_found_in_the_text_of_a_row(monkeypatch, tmp_path, family, token):
    model, samples = ModelSource(name=save_hub(tmp_path, family)), hub_samples("search")
    split_of(monkeypatch, [replace(samples[0], question=f"what is {token} ?"), *samples[1:]])
    found = usable_split(model, DataSource(name="rows", max_unreadable=0.1), "search")
    assert (found.skipped, found.samples) == (1, tuple(samples[1:]))
