"""FLOPs of models without rows in a table: closed form plus counted parts equal torch's counter, per family."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import example, given, settings
from torch.nn import ModuleList
from transformers import AutoConfig, AutoModelForImageTextToText

from objectives.flops import flops
from objectives.memory import parameter_bytes
from objectives.workload import WorkloadError
from spaces.plan import Plan
from tests.fast import but_slow, draws
from tests.spaces.drawn import fitted, plans
from tests.workers.hub import ALL_KINDS, FEW, KINDS, hub_samples, save_hub
from tests.workers.whole import NEW_TOKENS, Case, case_of, counted_flops, first_sample
from tests.workers.zoo import NUM_BLOCKS, TEXT
from workers.blocks.anatomy import anatomy_of, find_blocks
from workers.describe import describe_model, describe_workload
from workers.models.chat_template import PromptEncoder
from workers.models.count_on_meta import MAX_SAMPLES, mapping_modules
from workers.models.load_model import load_model
from workers.models.mapping_module import find_mapping
from workers.models.meta_model import weightless_model
from workers.sources import ModelSource

EACH = pytest.mark.parametrize("family", but_slow(ALL_KINDS, FEW[:2]))
COUNTED = pytest.mark.parametrize("family", but_slow([family for family in KINDS if family != "llava"], FEW[1:3]))
SAMPLES = hub_samples("search")[::3][:3]
"""One question about each of three pictures of different shapes."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Folders as a hub holds them, made at first use."""
    made = {}

    def source(family):
        if family not in made:
            made[family] = ModelSource(name=save_hub(tmp_path_factory.mktemp(family), family))
        return made[family]

    return source


@EACH
@settings(max_examples=draws(6))
@given(plan=plans(NUM_BLOCKS, NUM_BLOCKS))
@example(plan=Plan.dense(NUM_BLOCKS))
def test_the_ledger_of_a_question_equals_the_counter(sources, family, plan):
    """Skipped modules are not executed, because the counter agrees with the formula."""
    case, source = case_of(family), sources(family)
    plan = fitted(plan, case.kinds)
    shape = shape_of_family(source)
    assert [kind.is_cross for kind in shape.block_kinds] == [kind.is_cross for kind in case.kinds]
    workload = replace(workload_of_first(source), generated_tokens=NEW_TOKENS)
    assert flops(shape, plan, workload).total == counted_flops(case, plan)


@cache
def shape_of_family(source):
    return describe_model(source)


@cache
def workload_of_first(source):
    return describe_workload(source, [first_sample()])


@EACH
def test_tokens_are_those_the_processor_makes(sources, family):
    workload, prompt_encoder = describe_workload(sources(family), SAMPLES), case_of(family).prompt_encoder
    ids = [prompt_encoder.inputs([each.question], [each.image])["input_ids"][0] for each in SAMPLES]
    tokens = torch.tensor(sorted(anatomy_of(case_of(family).model).image_tokens))
    assert workload.prompt_tokens == pytest.approx(sum(map(len, ids)) / len(ids))
    assert workload.visual_tokens == pytest.approx(sum(int(torch.isin(each, tokens).sum()) for each in ids) / len(ids))
    loaded = load_model(sources(family))
    answers = [len(loaded.answer_tokens(each.answers[0])) for each in SAMPLES]
    assert workload.generated_tokens == pytest.approx(sum(answers) / len(answers))


@COUNTED
def test_parameters_are_those_of_the_model(sources, family):
    shape, model = describe_model(sources(family)), case_of(family).model
    assert shape.num_parameters == sum(weight.numel() for weight in model.parameters())
    block = find_blocks(model)[1][0]
    whole = parameter_bytes(shape, Plan.dense(NUM_BLOCKS))
    assert whole - parameter_bytes(shape, Plan.parse("b...")) == 4 * sum(w.numel() for w in block.parameters())
    kept = [child for child in block.children() if child not in (anatomy_of(model).parts[0].attention,)]
    norms = sum(w.numel() for child in kept for w in child.parameters() if w.ndim == 1 and isinstance_norm(child))
    attention = anatomy_of(model).parts[0].attention
    wanted = sum(w.numel() for w in attention.parameters()) + norms // 2
    assert whole - parameter_bytes(shape, Plan.parse("a...")) == 4 * wanted


def isinstance_norm(module):
    return "Norm" in type(module).__name__


@EACH
def test_mapping_modules_without_weights_are_those_with_weights(sources, family):
    model, inputs = (
        case_of(family).model,
        case_of(family).prompt_encoder.inputs([SAMPLES[0].question], [SAMPLES[0].image]),
    )
    empty = weightless_model(sources(family))
    names = {id(module): path for path, module in empty.named_modules()}
    found = {names[id(module)] for module in mapping_modules(empty, inputs)}
    assert found == set(parts_of(model, find_mapping(model, inputs)))


def parts_of(model, paths):
    """Return the paths of modules; the items of a list instead of the list."""
    for path in paths:
        module = model.get_submodule(path)
        yield from (f"{path}.{i}" for i in range(len(module))) if isinstance(module, ModuleList) else [path]


@pytest.mark.parametrize(
    ("family", "vision"), [("deepseek_vl", {}), ("janus", {"projection_dim": TEXT["hidden_size"]})]
)
def test_aligners_are_found_without_weights(family, vision):
    """Their mapping module has a name of its own, `aligner`."""
    text = {**TEXT, "model_type": "llama"}
    config = AutoConfig.for_model(family, text_config=text, vision_config=vision, image_token_id=60)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    size = config.vision_config.image_size
    patches = (size // config.vision_config.patch_size) ** 2
    inputs = {"input_ids": torch.tensor([[1, *[60] * patches, 5]]), "pixel_values": torch.zeros(1, 3, size, size)}
    names = {module: path for path, module in model.named_modules()}
    assert [names[each] for each in mapping_modules(model, inputs)] == ["model.aligner"]


@pytest.mark.slow
def test_images_of_other_shapes_cost_something_else_and_means_are_over_questions(sources):
    source = sources("qwen2_vl")
    each = [describe_workload(source, [sample]) for sample in SAMPLES]
    assert len({(load.visual_tokens, load.vision_flops) for load in each}) > 1
    together = describe_workload(source, SAMPLES)
    for name in ("visual_tokens", "text_tokens", "vision_flops", "projector_flops"):
        assert getattr(together, name) == pytest.approx(sum(getattr(load, name) for load in each) / len(each))


def test_of_many_samples_some_are_read(sources, monkeypatch):
    read = []
    monkeypatch.setattr(PromptEncoder, "inputs", spy(PromptEncoder.inputs, read))
    describe_workload(sources("paligemma"), SAMPLES[:1] * (2 * MAX_SAMPLES + 1))
    assert MAX_SAMPLES // 2 < len(read) <= MAX_SAMPLES


def spy(function, calls):
    def wrapped(*args):
        calls.append(args)
        return function(*args)

    return wrapped


def test_a_workload_without_counted_flops_is_refused_where_there_is_no_closed_form(sources):
    shape = describe_model(sources("paligemma"))
    uncounted = replace(describe_workload(sources("paligemma"), SAMPLES), vision_flops=None)
    with pytest.raises(WorkloadError, match="must have vision_flops and projector_flops"):
        flops(shape, Plan.dense(NUM_BLOCKS), uncounted)


@pytest.mark.parametrize("text", ["arcee", "seed_oss", "stablelm", "glm"])
def test_ffns_plain_gated_and_fused_are_read_off_the_modules(text, tmp_path):
    source = ModelSource(name=save_hub(tmp_path, "llava", model_type=text), device="cpu", attn_implementation="eager")
    shape, loaded = describe_model(source), load_model(source)
    case = Case("llava", loaded.model, loaded.prompt_encoder, {})
    workload = replace(describe_workload(source, [first_sample()]), generated_tokens=NEW_TOKENS)
    for plan in (Plan.dense(NUM_BLOCKS), Plan.parse("afvbpt")):
        assert flops(shape, plan, workload).total == counted_flops(case, plan)
