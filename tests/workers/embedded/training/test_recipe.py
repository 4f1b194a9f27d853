"""Training of the embedded model: the same prompts and outputs as in a search, deterministic, and resumed."""

import copy

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from workers.embedded import embedded_samples
from workers.embedded.training import recipe
from workers.embedded.training.curriculum import Curriculum, to_pixels
from workers.embedded.training.network import build_model, read, see, unfold
from workers.embedded.training.recipe import Recipe, Schedule, Stage, fit
from workers.embedded.words import build_processor
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.sources import ModelSource


@pytest.fixture(scope="module")
def loaded():
    return load_model(ModelSource(device="cpu"))


def test_training_prompts_and_pixels_are_those_of_the_processor(loaded):
    samples = embedded_samples("tune")[:16]
    curriculum = Curriculum(loaded.processor, loaded.model.config.image_seq_length)
    prepared = prepare(loaded, samples)
    for item, sample in zip(prepared.items, samples, strict=True):
        assert curriculum.tokenized(item.image, sample.question, sample.answers[0]) == item
    inputs = loaded.processor(images=[samples[0].image], text=["<image>"], return_tensors="pt")
    torch.testing.assert_close(to_pixels(np.asarray(samples[0].image)[None]), inputs["pixel_values"])


def test_the_lean_forward_is_the_forward_of_transformers(loaded):
    samples = embedded_samples("tune")[:8]
    curriculum = Curriculum(loaded.processor, loaded.model.config.image_seq_length)
    pixels, (batch,) = curriculum.exam(samples)
    with torch.no_grad():
        logits = read(loaded.model, see(loaded.model, pixels), batch)
        item = curriculum.tokenized(0, samples[0].question, samples[0].answers[0])
        plain = loaded.model(input_ids=torch.tensor([item.prompt]), pixel_values=pixels).logits[0, -1]
    torch.testing.assert_close(logits[0], plain, rtol=1e-4, atol=1e-4)


def test_unfolding_shares_out_heads_and_channels():
    model = build_model(2, build_processor())
    before = copy.deepcopy(model.model.language_model.layers)
    unfold(model, (((2, 100), (4, 56), (0, 100)), ((6, 256),)))
    layers = model.model.language_model.layers
    assert len(layers) == model.config.text_config.num_hidden_layers == 4
    assert [block.self_attn.layer_idx for block in layers] == list(range(4))
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        parts = [block.get_submodule(name).weight for block in layers]
        assert torch.equal(sum(parts[:3]), before[0].get_submodule(name).weight)
        assert torch.equal(parts[3], before[1].get_submodule(name).weight)
    assert not layers[2].self_attn.o_proj.weight.any()
    assert (layers[1].self_attn.o_proj.weight.abs().sum(0) > 0).nonzero().flatten().tolist() == list(range(32, 96))


@pytest.mark.slow
def test_the_recipe_is_deterministic_and_resumes(tmp_path, monkeypatch):
    tiny = Schedule(**{name: Stage(3, 1e-3, images=2) for name in ("sight", "shallow", "deep", "mapping")})
    for name in ("once", "twice"):
        Recipe(tiny, 0, tmp_path / name).run()
    once, twice = (tmp_path / name / "model.safetensors" for name in ("once", "twice"))
    assert once.read_bytes() == twice.read_bytes()
    twice.unlink()
    (tmp_path / "twice" / "stages" / "4-mapping.pt").unlink()
    fits = []
    monkeypatch.setattr(recipe, "fit", lambda *args, **options: fits.append(fit(*args, **options)))
    Recipe(tiny, 0, tmp_path / "twice").run()
    assert once.read_bytes() == twice.read_bytes()
    assert (
        type(load_model(ModelSource(name=str(tmp_path / "twice"), device="cpu")).model) is LlavaForConditionalGeneration
    )
