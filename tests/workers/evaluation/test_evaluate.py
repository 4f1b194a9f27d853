"""Packed greedy answers are those of `model.generate` on the plain prompts, one sequence per question."""

import pytest
import torch

from spaces.plan import Plan
from tests.fast import but_slow
from workers.apply_plan import apply_plan
from workers.data.load_split import load_samples
from workers.evaluation import evaluate as evaluating
from workers.evaluation.evaluate import answer, evaluate
from workers.inference import packed_split as packed_split
from workers.inference.check_finite import NonFinite
from workers.inference.packed_batch import pack
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.models.prompt_forms import conversation
from workers.sources import DataSource, ModelSource

PLANS = ["....", "a...", "b..f", "pppp", ".aab", "bbbb", "bvavfvpv", "btag.f", "agbg()v", "[]tptb", "bgfgbgpg"]


@pytest.fixture(scope="module")
def embedded():
    loaded = load_model(ModelSource(device="cpu"))
    return loaded, prepare(loaded, load_samples(DataSource(), "search", 24))


def plain_answers(loaded, prepared):
    """What a user would write: processor, generate, decode."""
    texts = []
    for sample in prepared.samples:
        inputs = loaded.processor.apply_chat_template(
            conversation(sample.question, sample.image),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        ids = loaded.model.generate(**inputs, max_new_tokens=prepared.max_new_tokens, do_sample=False)
        new = ids[0, inputs["input_ids"].shape[1] :]
        texts.append(loaded.processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    return texts


@pytest.mark.parametrize("text", but_slow(PLANS, ["a...", "btag.f", "[]tptb"]))
def test_answers_equal_generate(loaded, prepared, text):
    with apply_plan(loaded.model, Plan.parse(text)):
        plain = plain_answers(loaded, prepared)
        assert answer(loaded, prepared, len(prepared.samples)) == plain
    assert text == "bbbb" or len(set(plain)) > 3, "the answers must differ, or the test says nothing"


@pytest.mark.parametrize("text", ["............", "bpf.........", "a....b..p..f", "bvav()gbgat...pv.b"])
def test_answers_equal_generate_on_the_embedded_model(embedded, text):
    with apply_plan(embedded[0].model, Plan.parse(text)):
        assert answer(*embedded, 24) == plain_answers(*embedded)


@pytest.mark.parametrize("text", [*PLANS, "atatatat", "agagagag"])
@pytest.mark.parametrize("per_image", [1, 3])
def test_answer_logits_of_packs_equal_those_of_plain_prompts_with_labels(loaded, prepared, text, per_image):
    """Answers that are fed count as generated tokens, in packs as in a plain labeled call."""
    items = [item for item in prepared.items if item.image < 2]
    tokens = {"image_token": loaded.image_token, "pad_token": loaded.pad_token}
    (batch,) = pack(items, per_image, with_answers=True, **tokens)
    with apply_plan(loaded.model, Plan.parse(text)), torch.no_grad():
        packed = prepared.answer_logits(loaded, batch)
        plain = [_plain_answer_logits(loaded, prepared, items[owner]) for owner in batch.owner[batch.owner >= 0]]
    torch.testing.assert_close(packed, torch.cat(plain), rtol=1e-4, atol=1e-4)


def _plain_answer_logits(loaded, prepared, item):
    ids = torch.tensor([[*item.prompt, *item.answer[:-1]]])
    labels = torch.tensor([[-100] * len(item.prompt) + [*item.answer[:-1]]])
    image = next(
        s.image for s, other in zip(prepared.samples, prepared.items, strict=True) if other.image == item.image
    )
    pixels = loaded.processor.image_processor(image, return_tensors="pt")["pixel_values"]
    return loaded.model(input_ids=ids, pixel_values=pixels, labels=labels).logits[0, len(item.prompt) - 1 :]


@pytest.mark.parametrize(("per_image", "tokens"), [(1, 100), (2, 1), (3, 60), (16, 8192)])
def test_packing_does_not_change_answers(loaded, prepared, monkeypatch, per_image, tokens):
    plain = answer(loaded, prepared, len(prepared.samples))
    monkeypatch.setattr(packed_split, "PER_IMAGE", per_image)
    monkeypatch.setattr(prepared.budget, "tokens", tokens)
    assert answer(loaded, prepared, len(prepared.samples)) == plain


def test_batches_hold_about_as_many_tokens_as_asked(loaded, prepared):
    for tokens in (1, 40, 100, 1000):
        sizes = [batch.input_ids.numel() for batch in prepared.packs(loaded, 24, 16, tokens)]
        assert max(sizes) <= max(tokens, len(prepared.packs(loaded, 24, 16, 1)[0].input_ids[0]))
    assert len(prepared.packs(loaded, 24, 16, 1000)) == 1


def test_the_first_questions_only(loaded, prepared):
    everything = evaluate(loaded, prepared, "exact_match")
    some = evaluate(loaded, prepared, "exact_match", questions=7)
    assert some.answers == everything.answers[:7]
    assert some.scores == everything.scores[:7]
    assert len(evaluate(loaded, prepared, "exact_match", questions=10_000).scores) == len(prepared.samples)


def test_scores_follow_the_answers(loaded, prepared, monkeypatch):
    monkeypatch.setattr(evaluating, "answer", lambda loaded, prepared, n: ["RED", "two one", "blue red one"] * 8)
    result = evaluate(loaded, prepared, "exact_match")
    assert result.scores == (1.0, 0.0, 1.0) * 8
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.accuracy_by_kind == {"kind-0": 1.0, "kind-1": 0.0, "kind-2": 1.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_logits_are_an_error(loaded, prepared, value):
    weight = loaded.head.weight
    kept = weight[3].clone()
    try:
        with torch.no_grad():
            weight[3] = value
        with pytest.raises(NonFinite, match="logits must be finite"):
            answer(loaded, prepared, 4)
    finally:
        with torch.no_grad():
            weight[3] = kept


def test_images_are_encoded_once_and_as_the_model_sees_them(loaded, prepared):
    assert len(prepared.features) == 8
    pixels = loaded.processor.image_processor(prepared.samples[3].image, return_tensors="pt")["pixel_values"]
    tower = loaded.model.model.vision_tower(pixels, output_hidden_states=True)
    torch.testing.assert_close(prepared.features[1], tower.hidden_states[-2][0, 1:], rtol=1e-5, atol=1e-5)


def test_token_ids_are_those_of_the_processor(loaded, prepared):
    for sample, item in zip(prepared.samples, prepared.items, strict=True):
        ids = loaded.processor.apply_chat_template(
            conversation(sample.question, sample.image), add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        assert list(item.prompt) == ids[0]
        assert loaded.processor.tokenizer.decode(item.answer) == f"{sample.answers[0]} </s>"
