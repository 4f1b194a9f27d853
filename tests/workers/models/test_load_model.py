"""Model folders without all weights, which transformers fills at random, or without a usable prompt are refused."""

import logging
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.workers.data.small_sets import save_rows
from tests.workers.hub import save_hub
from workers.models.load_model import load_model
from workers.sources import DataSource, ModelSource
from workers.usable_rows import usable_split


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "llava"
    save_hub(folder, "llava")
    return folder / "model.safetensors"


@pytest.fixture
def weights(hub):
    """The weights of the folder, which are put back afterwards."""
    whole = load_file(hub)
    yield dict(whole)
    save_file(whole, hub, {"format": "pt"})


@pytest.mark.parametrize("part", ["layers.2.", "lm_head", "multi_modal_projector.linear_1.bias"])
def test_a_missing_weight_is_refused_by_name(hub, weights, part):
    kept = {name: each for name, each in weights.items() if part not in name or "vision" in name}
    assert len(kept) < len(weights)
    save_file(kept, hub, {"format": "pt"})
    with pytest.raises(
        ValueError, match=rf"must have every weight of the model, {len(weights) - len(kept)} are missing"
    ) as refusal:
        load_model(ModelSource(name=str(hub.parent)))
    assert "\n" not in str(refusal.value) and part.strip(".") in str(refusal.value)


def test_weights_under_other_names_are_refused(hub, weights):
    save_file({f"wrapped.{name}": each for name, each in weights.items()}, hub, {"format": "pt"})
    with pytest.raises(ValueError, match="must have every weight of the model"):
        load_model(ModelSource(name=str(hub.parent)))


def test_a_weight_that_is_not_used_is_said(hub, weights, caplog):
    save_file({**weights, "another.weight": next(iter(weights.values())).clone()}, hub, {"format": "pt"})
    with caplog.at_level(logging.WARNING):
        load_model(ModelSource(name=str(hub.parent)))
    assert "1 weights that its config does not use (the first: another.weight)" in caplog.text


DROPS = "{% for m in messages %}{{ m.content[-1].text }}{% endfor %}"


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("chat_template.jinja", "{% if %}", "must take a question about an image, .* TemplateSyntaxError"),
        ("chat_template.jinja", "{{ raise_exception('only text') }}", "TemplateError: only text; correct"),
        ("chat_template.jinja", DROPS, "once per image, .* has it 0 times"),
        ("chat_template.jinja", "<image><image>" + DROPS, "once per image, .* has it 2 times"),
        ("processor_config.json", None, "must have a processor_config.json or preprocessor_config.json"),
    ],
)
def test_a_processor_that_puts_no_image_is_refused_without_torch(hub, tmp_path, file, content, said):
    model, data = tmp_path / "model", save_rows(tmp_path / "data", [{"question": "what ?", "answer": "red"}] * 8)
    shutil.copytree(hub.parent, model)
    (model / file).unlink() if content is None else (model / file).write_text(content)
    with pytest.raises(ValueError, match=said) as refusal:
        usable_split(ModelSource(name=str(model)), DataSource(name=str(data)), "search")
    assert "\n" not in str(refusal.value)
