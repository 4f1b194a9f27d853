"""Generation ends at a length that no accepted answer exceeds."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.workers.hub import hub_model, hub_processor
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.inference.packed_split import pack_split
from workers.inference.plain_split import PlainSplit
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import assemble

QUESTION = "what is the color ?"


@pytest.fixture(scope="module")
def talkative():
    """Return a model that answers every question with four words, and samples."""
    torch.manual_seed(0)
    model, prompt_encoder = hub_model("llava"), PromptEncoder(hub_processor("llava"), None)
    pictures = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)) for seed in range(2)
    ]
    inputs = prompt_encoder.inputs([QUESTION] * 2, pictures)
    said = torch.tensor([*prompt_encoder.processor.tokenizer("red one two blue").input_ids, 2]).expand(2, -1)
    ids = torch.cat([inputs["input_ids"], said], 1)
    labels = torch.cat([torch.full_like(inputs["input_ids"], -100), said], 1)
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    fed = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": inputs["pixel_values"]}
    for _ in range(80):
        loss = model(**fed, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return assemble(model.eval().requires_grad_(False), prompt_encoder), pictures


@pytest.mark.parametrize("make", [pack_split, PlainSplit])
@pytest.mark.parametrize(
    ("accepted", "accuracy"),
    [
        (("red", "red", "red one two blue"), 1.0),
        (("red",), 0.0),
        (("red one",), 0.0),
    ],
)
def test_the_longest_accepted_answer_can_be_given(talkative, make, accepted, accuracy):
    loaded, pictures = talkative
    samples = [Sample(picture, str(n), QUESTION, accepted, "all") for n, picture in enumerate(pictures)]
    result = evaluate(loaded, make(loaded, samples), "exact_match")
    assert result.accuracy == accuracy
    assert result.answers == ("red one two blue",) * 2
