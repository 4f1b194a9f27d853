"""Models of fifteen families in the form of a hub: recognized, run, tuned and restored, without code per family."""

from collections import Counter
from dataclasses import replace
from functools import cache, wraps

import pytest
import torch

from objectives.workload import Workload
from spaces.plan import Plan
from spaces.scope import Group
from tests.fast import but_slow
from tests.workers.hub import ALL_KINDS, FEW, hub_model, hub_processor, hub_samples
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.blocks.token_groups import CODES
from workers.evaluation.likelihood import answer_log_probs
from workers.evaluation.timed_passes import TimedPasses
from workers.inference.check_finite import NonFinite
from workers.inference.packed_split import PackedSplit, pack_split
from workers.inference.packing_check import packing_is_exact
from workers.inference.plain_split import PlainSplit
from workers.inference.prepare import prepare
from workers.models.chat_template import PromptEncoder
from workers.models.load_model import assemble
from workers.models.processor import on_device
from workers.models.prompt_forms import PROMPT_FORMS
from workers.models.trainable import copy_state, put_state
from workers.requests import TuningRecipe
from workers.tuning import Tuning, TuningSchedule

MAPPING = {
    "qwen2_vl": ("model.visual.merger",),
    "qwen2_5_vl": ("model.visual.merger",),
    "qwen3_vl": ("model.visual.merger", "model.visual.deepstack_merger_list"),
    "qwen3_vl_moe": ("model.visual.merger", "model.visual.deepstack_merger_list"),
    "idefics3": ("model.connector",),
    "smolvlm": ("model.connector",),
    "blip-2": ("language_projection",),
    "instructblip": ("language_projection",),
}
"""What the authors of a family call its mapping module; the others say `model.multi_modal_projector`."""
PLANS = ("....", "a.fb", "bvagfp")
CROSS_PLANS = {"bvagfp": "bv.agf", "aa.f": "a.af"}
"""In place of a plan, where block 1 attends to image features instead of tokens."""
RECIPE = TuningRecipe(learning_rate=5e-3, images_per_step=2, questions_per_image=2)


def prompt_encoder(family):
    return PromptEncoder(hub_processor(family), PROMPT_FORMS.get(family))


@cache
def model_of(family):
    return assemble(hub_model(family), prompt_encoder(family))


@cache
def split_of(family, name="search"):
    return prepare(model_of(family), hub_samples(name))


@pytest.fixture(params=but_slow(ALL_KINDS, FEW))
def family(request):
    return request.param


def plan_of(family, text):
    return Plan.parse(CROSS_PLANS.get(text, text) if family == "mllama" else text)


def generated(loaded, prepared, index):
    """Return answer tokens and their logits, by `generate` on one question."""
    sample = prepared.samples[index]
    inputs = on_device(
        loaded.prompt_encoder.inputs([sample.question], [sample.image]), loaded.device, loaded.model.dtype
    )
    said = loaded.model.generate(
        **inputs,
        max_new_tokens=prepared.max_new_tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return said.sequences[0, -len(said.logits) :].tolist(), torch.cat(said.logits)


def test_the_mapping_module_is_found(family):
    assert model_of(family).mapping == MAPPING.get(family, ("model.multi_modal_projector",))
    trained = {name for name, weight in model_of(family).model.named_parameters() if weight.requires_grad}
    assert trained == set(model_of(family).weights)
    assert all(name.startswith(model_of(family).mapping) for name in trained)


@pytest.mark.parametrize("text", PLANS)
def test_answers_and_answer_logits_are_those_of_generate(family, text):
    """Batches with padding, replayed vision towers, teacher forcing: equal to one question at a time."""
    loaded, prepared = model_of(family), split_of(family)
    chosen = range(0, len(prepared.samples), 4)
    with apply_plan(loaded.model, plan_of(family, text)):
        answers = prepared.answer_ids(loaded, len(prepared.samples))
        said = [generated(loaded, prepared, index) for index in chosen]
        assert [answers[index] for index in chosen] == [tokens for tokens, _ in said]
        longest = max(len(tokens) for tokens, _ in said)
        rows = torch.tensor([tokens + [-100] * (longest - len(tokens)) for tokens, _ in said])
        plain = PlainSplit(loaded, prepared.samples)
        with torch.no_grad():
            forced = plain.answer_logits(loaded, replace(plain.answer_batch(loaded, chosen, 1), answers=rows))
    firsts = torch.stack([logits[0] for _, logits in said])
    assert (firsts - firsts[0]).abs().amax(-1)[1:].min() > 0.01, "answers must depend on what is asked"
    torch.testing.assert_close(forced, torch.cat([logits for _, logits in said]), rtol=1e-3, atol=1e-3)


def calls_of(loaded, run):
    """How often the modules of the vision part ran, by path."""
    counts, hooks = Counter(), []
    for path in loaded.replay.modules:
        module = loaded.model.get_submodule(path)
        for child in module.modules():
            if child is not module and not any(True for _ in child.children()):
                hooks.append(child.register_forward_hook(lambda *_, path=path: counts.update([path])))
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return counts


def test_the_frozen_vision_tower_runs_once_an_image(family):
    loaded, samples = model_of(family), hub_samples("test")
    prepared = PlainSplit(loaded, samples)
    first = calls_of(loaded, lambda: prepared.answer_ids(loaded, len(samples)))
    one = calls_of(loaded, lambda: PlainSplit(loaded, samples[:1]).answer_ids(loaded, 1))
    times = 6 if loaded.replay.per_image else 1  # six pictures, or one batch
    assert first.keys() == one.keys() and first
    assert all(first[path] <= times * one[path] for path in one)
    assert not calls_of(loaded, lambda: prepared.answer_ids(loaded, len(samples)))
    batch = prepared.answer_batch(loaded, [0, 5], 1)
    assert not calls_of(loaded, lambda: prepared.answer_logits(loaded, batch))


def test_replayed_logits_are_those_of_the_pictures(family):
    """Against the model's own forward on images that were not used for the check; two questions are about one image."""
    loaded, samples = model_of(family), hub_samples("train")
    chosen = [0, 2, 4, 7]
    prepared = PlainSplit(loaded, samples)
    inputs = loaded.prompt_encoder.inputs([samples[i].question for i in chosen], [samples[i].image for i in chosen])
    with torch.no_grad():
        plain = loaded.model(**on_device(inputs, loaded.device, loaded.model.dtype)).logits[:, -1]
        first = prepared.answer_logits(
            loaded, replace(prepared.answer_batch(loaded, chosen, 1), answers=torch.ones(4, 1).long())
        )
    torch.testing.assert_close(first, plain, rtol=1e-3, atol=1e-3)


def test_pictures_that_are_seen_together_are_recorded_together():
    """A tower whose output for one picture depends on the others of its batch."""
    model = hub_model("llava_next")
    layer = model.model.vision_tower.encoder.layers[0]
    layer.mlp.register_forward_hook(lambda _, args, output: output + output.mean((0, 1)))
    model.config.vision_feature_layer = -1
    loaded, samples = assemble(model, prompt_encoder("llava_next")), hub_samples("train")
    assert loaded.replay.modules and not loaded.replay.per_image
    prepared = PlainSplit(loaded, samples)
    inputs = loaded.prompt_encoder.inputs([samples[i].question for i in (0, 4)], [samples[i].image for i in (0, 4)])
    first = replace(prepared.answer_batch(loaded, [0, 4], 1), answers=torch.ones(2, 1).long())
    with torch.no_grad():
        plain = model(**on_device(inputs, loaded.device, model.dtype)).logits[:, -1]
        torch.testing.assert_close(prepared.answer_logits(loaded, first), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", ["....", "aa.f"])
def test_tuning_moves_the_mapping_module_alone_and_lowers_the_loss(family, text):
    loaded, prepared = model_of(family), split_of(family, "train")
    before, all_before = copy_state(loaded.weights), {n: p.clone() for n, p in loaded.model.named_parameters()}
    schedule = TuningSchedule(loaded, prepared, RECIPE, seed=0)
    try:
        with apply_plan(loaded.model, plan_of(family, text)):
            tuning = Tuning(schedule, 20)
            losses = [tuning.loss(step).item() for step in range(3)]
            tuning.until(20)
            after = [tuning.loss(step).item() for step in range(3)]
        changed = {
            name for name, weight in loaded.model.named_parameters() if not torch.equal(weight, all_before[name])
        }
        assert changed == set(loaded.weights)
        assert sum(after) < sum(losses)
    finally:
        put_state(loaded.weights, before)
    assert all(torch.equal(weight, all_before[name]) for name, weight in loaded.model.named_parameters())


def test_tuning_under_a_plan_that_reads_no_image_changes_nothing():
    loaded, prepared = model_of("mllama"), split_of("mllama", "train")
    before = copy_state(loaded.weights)
    with apply_plan(loaded.model, Plan.parse(".c..")):
        Tuning(TuningSchedule(loaded, prepared, RECIPE, seed=0), 2).until(2)
    assert all(torch.equal(before[name], weight) for name, weight in loaded.weights.items())


def test_log_probs_of_answers_follow_from_the_plain_model(family):
    loaded, prepared = model_of(family), split_of(family)
    asked = [(4, "red"), (0, "blue one two"), (4, "two"), (3, "one two")]
    found = answer_log_probs(loaded, prepared, asked)
    assert [len(each) for each in found] == [2, 4, 2, 3]
    for (index, _), values in zip(asked, found, strict=True):
        _, logits = generated(loaded, prepared, index)
        token = loaded.answer_tokens(asked[found.index(values)][1])[0]
        assert values[0] == pytest.approx(logits[0].log_softmax(-1)[token].item(), abs=1e-3)


def test_rows_say_what_the_decoder_is_fed(family):
    loaded, prepared = model_of(family), split_of(family)
    batch = prepared.answer_batch(loaded, [0, 4, 8], 1)
    fed = []
    hook = loaded.decoder.register_forward_pre_hook(
        lambda _, args, kwargs: fed.append(
            kwargs["inputs_embeds"].shape[:2] if kwargs.get("inputs_embeds") is not None else kwargs["input_ids"].shape
        ),
        with_kwargs=True,
    )
    try:
        prepared.answer_logits(loaded, batch)
    finally:
        hook.remove()
    rows = prepared.rows(loaded, batch)
    assert (
        [tuple(shape) for shape in fed] == [tuple(real.shape) for real, _ in rows] == [tuple(c.shape) for _, c in rows]
    )
    codes = torch.cat([codes[real] for real, codes in rows])
    answers = sum(len(loaded.answer_tokens(prepared.samples[i].answers[0])) - 1 for i in (0, 4, 8))
    assert (codes == CODES[Group.GENERATED]).sum() == answers
    assert (codes == CODES[Group.VISUAL]).any() and (codes == CODES[Group.TEXT]).any()


def test_one_question_can_be_timed(family):
    loaded, prepared = model_of(family), split_of(family)
    load = Workload(visual_tokens=0, text_tokens=prompt_tokens(loaded, prepared.samples[0]), generated_tokens=4)
    passes = TimedPasses(loaded, prepared.samples, load)
    for _ in range(2):
        seconds = passes.turn()
        assert seconds.prefill > 0 and seconds.decode > 0
    assert passes.vision(1) >= 0


def prompt_tokens(loaded, sample):
    return loaded.prompt_encoder.inputs([sample.question], [sample.images])["input_ids"].shape[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_logits_are_an_error(value):
    loaded, prepared = model_of("idefics3"), split_of("idefics3")
    weight = loaded.head.weight
    kept = weight[3].clone()
    try:
        with torch.no_grad():
            weight[3] = value
        with pytest.raises(NonFinite, match="logits must be finite"):
            prepared.answer_ids(loaded, 4)
    finally:
        with torch.no_grad():
            weight[3] = kept


class TestPacking:
    def test_only_where_it_is_exact(self):
        assert {family for family in ALL_KINDS if packing_is_exact(model_of(family))} == {"llava"}

    def test_it_is_a_matter_of_what_the_model_does(self):
        """With one tile per image, another family is packed too."""
        kind = hub_processor("idefics3")
        kind.image_processor.do_image_splitting = False
        loaded = assemble(hub_model("idefics3"), PromptEncoder(kind, None))
        prepared = prepare(loaded, hub_samples("search"))
        assert isinstance(prepared, PackedSplit)
        with apply_plan(loaded.model, Plan.parse("bvagfp")):
            answers = prepared.answer_ids(loaded, 18)
            assert [answers[i] for i in (0, 4, 17)] == [generated(loaded, prepared, i)[0] for i in (0, 4, 17)]

    def test_not_where_features_are_changed_behind_the_mapping_module(self):
        model = hub_model("llava")
        features = model.model.get_image_features

        @wraps(features)
        def louder(*args, **kwargs):
            found = features(*args, **kwargs)
            found.pooler_output = [2 * each for each in found.pooler_output]
            return found

        model.model.get_image_features = louder
        assert not packing_is_exact(assemble(model, prompt_encoder("llava")))

    def test_packed_and_plain_agree(self):
        loaded, samples = model_of("llava"), hub_samples("search")
        packed, plain = pack_split(loaded, samples), PlainSplit(loaded, samples)
        assert isinstance(split_of("llava"), PackedSplit)
        for text in PLANS:
            with apply_plan(loaded.model, Plan.parse(text)), torch.no_grad():
                assert packed.answer_ids(loaded, 18) == plain.answer_ids(loaded, 18)
                logits = [
                    each.answer_logits(loaded, each.answer_batch(loaded, range(18), 3)) for each in (packed, plain)
                ]
            torch.testing.assert_close(*logits, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"repetition_penalty": 1.5}, "greedy decoding takes another token than the likeliest"),
            ({"suppress_tokens": [5]}, "a token is never said"),
            ({"no_repeat_ngram_size": 1}, "the first token is the likeliest, later ones may not be"),
            ({"exponential_decay_length_penalty": (2, 3.0)}, "the end token becomes likelier"),
            ({"min_new_tokens": 3}, "an answer may not end"),
            ({"forced_eos_token_id": 2}, "the last token is not the likeliest"),
        ],
    )
    def test_not_where_the_generation_config_changes_the_logits(self, change, why):
        model = hub_model("llava")
        model.generation_config.update(**change)
        loaded = assemble(model, prompt_encoder("llava"))
        assert not packing_is_exact(loaded), why
        prepared = prepare(loaded, hub_samples("search"))
        assert prepared.answer_ids(loaded, 4) == [generated(loaded, prepared, index)[0] for index in range(4)]

    def test_settings_of_generate_that_change_no_token_are_no_obstacle(self):
        model = hub_model("llava")
        model.generation_config.update(do_sample=True, temperature=0.2, top_p=0.5, return_dict_in_generate=True)
        loaded = assemble(model, prompt_encoder("llava"))
        assert packing_is_exact(loaded)
        samples = hub_samples("search")
        assert prepare(loaded, samples).answer_ids(loaded, 4) == PlainSplit(loaded, samples).answer_ids(loaded, 4)

    def test_not_under_sliding_windows(self):
        loaded = assemble(hub_model("llava", model_type="mistral", sliding_window=6), prompt_encoder("llava"))
        assert not packing_is_exact(loaded)
        prepared = prepare(loaded, hub_samples("search"))
        assert prepared.answer_ids(loaded, 4) == [generated(loaded, prepared, index)[0] for index in range(4)]


@pytest.mark.parametrize("family", but_slow(["llava", "qwen2_vl", "gemma3"], ["llava"]))
@pytest.mark.parametrize(
    "text",
    [
        {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 8, "hidden_size": 24},
        {"num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 8, "hidden_size": 48},
        {"tie_word_embeddings": True},
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 40},
    ],
    ids=["odd-heads", "grouped", "tied", "shallow", "deep"],
)
def test_other_sizes(family, text):
    if family == "qwen2_vl" and "hidden_size" in text:
        pytest.skip("its vision tower's width is the decoder's")
    loaded = assemble(hub_model(family, **text), prompt_encoder(family))
    prepared = prepare(loaded, hub_samples("search", 3))
    assert isinstance(prepared, PackedSplit) == (family == "llava")
    plan = Plan.parse("a" + "." * (len(anatomy_of(loaded.model).blocks) - 1))
    with apply_plan(loaded.model, plan):
        assert prepared.answer_ids(loaded, 4) == [generated(loaded, prepared, index)[0] for index in range(4)]


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "paligemma", "instructblip"])
def test_bfloat16(family):
    """Answers of one question at a time: in a batch bfloat16 may round otherwise."""
    loaded = assemble(hub_model(family).bfloat16(), prompt_encoder(family))
    prepared = PlainSplit(loaded, hub_samples("search", 3)[:1])
    assert prepared.answer_ids(loaded, 1) == [generated(loaded, prepared, 0)[0]]
    before = copy_state(loaded.weights)
    Tuning(TuningSchedule(loaded, prepared, RECIPE, 0), 2).until(2)
    assert all(not torch.equal(before[name], weight) for name, weight in loaded.weights.items())
