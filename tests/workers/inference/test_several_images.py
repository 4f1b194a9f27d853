"""Questions about several images: every one of them reaches the model, in order."""

from dataclasses import replace

import pytest
import torch

from tests.workers.hub import hub_model, hub_processor, hub_samples
from workers.fingerprints import fingerprint_samples
from workers.inference.plain_split import PlainSplit
from workers.inference.prepare import prepare
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import assemble
from workers.models.processor import on_device
from workers.models.prompt_forms import PROMPT_FORMS


def samples():
    """Four questions about one image, two, three, and two in the other order."""
    plain = hub_samples("search")[::3]
    groups = [plain[:1], plain[1:3], plain[:3], plain[2:0:-1]]
    return [
        replace(group[0], more_images=tuple(s.image for s in group[1:]), image_id="-".join(s.image_id for s in group))
        for group in groups
    ]


def ready(family):
    return assemble(hub_model(family), PromptEncoder(hub_processor(family), None))


@pytest.mark.parametrize("family", ["llava", "llava_next", "qwen2_vl", "idefics3", "gemma3", "internvl"])
def test_logits_are_those_of_the_model_on_all_images(family):
    """Compared with the model's own forward on a conversation that is written out here."""
    loaded, asked = ready(family), samples()
    prepared = prepare(loaded, asked)
    assert isinstance(prepared, PlainSplit)
    got = prepared.answer_logits(loaded, prepared.answer_batch(loaded, range(4), 8))
    rows = []
    for sample, answer in zip(asked, prepared.answers, strict=True):
        content = [{"type": "image", "image": image} for image in (sample.image, *sample.more_images)]
        talk = [{"role": "user", "content": [*content, {"type": "text", "text": sample.question}]}]
        inputs = loaded.processor.apply_chat_template(
            [talk], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        inputs = on_device(dict(inputs), loaded.device, loaded.model.dtype)
        length = inputs["input_ids"].shape[1]
        fed = torch.tensor([answer[:-1]], dtype=torch.long)
        for name, value in inputs.items():
            if value.shape == (1, length):
                more = fed if name == "input_ids" else torch.full_like(fed, int(name == "attention_mask"))
                inputs[name] = torch.cat([value, more.to(value.dtype)], dim=1)
        with torch.no_grad():
            rows.append(loaded.model(**inputs).logits[0, length - 1 :])
    torch.testing.assert_close(got, torch.cat(rows).float(), atol=2e-5, rtol=2e-5)
    assert len(prepared.answer_ids(loaded, 4)) == 4


@pytest.mark.parametrize("family", ["paligemma", "blip-2"])
def test_a_model_without_a_template_is_asked_about_one_image(family):
    prompt_encoder = PromptEncoder(hub_processor(family), PROMPT_FORMS[family])
    with pytest.raises(ValueError, match="takes one image per question, got 2"):
        prompt_encoder.inputs([samples()[1].question], [samples()[1].images])


def test_the_fingerprint_sees_every_image():
    one, two = samples()[1], samples()[1]
    changed = two.more_images[0].copy()
    changed.putpixel((0, 0), (1, 2, 3))
    assert fingerprint_samples([one]) == fingerprint_samples([two])
    assert fingerprint_samples([one]) != fingerprint_samples([replace(two, more_images=(changed,))])
