"""FLOPs against numbers worked out by hand and against a slow count, one matrix product after another."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.flops import costs, depth, flops
from objectives.workload import Workload
from spaces.plan import Op, Plan, PlanError
from spaces.shape import ModelShape, VisionShape
from tests.fast import draws
from tests.objectives.shapes import LLAVA_7B, TINY
from tests.spaces.drawn import plans

DENSE = Plan.dense(2)


def workload(visual=4, text=2, generated=3, **others):
    return Workload(visual_tokens=visual, text_tokens=text, generated_tokens=generated, **others)


def matmul(rows, inner, columns):
    return 2 * rows * inner * columns


IN_SCOPE = {"all": "vtg", "visual": "v", "prompt": "vt", "generated": "g"}


def slow_block(shape, block, new, old):
    """FLOPs of one block on new tokens, a string over v, t, g, after `old` tokens; product by product."""
    inside = IN_SCOPE[block.scope]
    attending = sum(not (token in inside and block.op in (Op.SKIP_ATTN, Op.SKIP_BLOCK)) for token in new)
    feeding = sum(not (token in inside and block.op in (Op.SKIP_FFN, Op.SKIP_BLOCK)) for token in new)
    generated_attend = not ("g" in inside and block.op in (Op.SKIP_ATTN, Op.SKIP_BLOCK))
    made = len(new) if generated_attend else attending  # keys and values
    keys = old + made
    total = matmul(attending, shape.hidden_size, shape.num_heads * shape.head_size)  # queries
    total += 2 * matmul(made, shape.hidden_size, shape.num_kv_heads * shape.head_size)
    for _ in range(shape.num_heads):
        total += matmul(attending, shape.head_size, keys)  # scores
        total += matmul(attending, keys, shape.head_size)  # weighted sum of the values
    total += matmul(attending, shape.num_heads * shape.head_size, shape.hidden_size)  # output
    for _ in range(2 if shape.gated_ffn else 1):
        total += matmul(feeding, shape.hidden_size, shape.ffn_size)
    total += matmul(feeding, shape.ffn_size, shape.hidden_size)
    return total


def slow_vision(vision):
    side = vision.image_size // vision.patch_size
    total = matmul(side * side, vision.num_channels * vision.patch_size * vision.patch_size, vision.hidden_size)
    rows = side * side + (1 if vision.has_class_token else 0)
    head_size = vision.hidden_size // vision.num_heads
    for _ in range(vision.num_layers):
        total += 4 * matmul(rows, vision.hidden_size, vision.hidden_size)
        for _ in range(vision.num_heads):
            total += matmul(rows, head_size, rows) + matmul(rows, rows, head_size)
        total += matmul(rows, vision.hidden_size, vision.ffn_size)
        total += matmul(rows, vision.ffn_size, vision.hidden_size)
    return total


def slow_flops(shape, plan, load):
    """The ledger of one workload of whole numbers, step by step."""
    prompt = load.visual_tokens + load.text_tokens
    ledger = dict.fromkeys(("vision", "projector", "prefill", "decode", "head"), 0)
    for _ in range(load.batch):
        for _ in range(load.images):
            ledger["vision"] += slow_vision(shape.vision)
        for inputs, outputs in shape.projector:
            ledger["projector"] += matmul(load.visual_tokens, inputs, outputs)
        for block in plan.blocks:
            ledger["prefill"] += slow_block(shape, block, "v" * load.visual_tokens + "t" * load.text_tokens, 0)
        for step in range(1, load.generated_tokens):
            for block in plan.blocks:
                ledger["decode"] += slow_block(shape, block, "g", prompt + step - 1)
        for _ in range(load.generated_tokens):
            ledger["head"] += matmul(1, shape.hidden_size, shape.vocab_size)
    return ledger | {"total": sum(ledger.values())}


small = st.integers(1, 4)


@st.composite
def shapes(draw):
    kv_heads, size, patch = draw(small), draw(small), draw(small)
    vision_heads = draw(small)
    vision = VisionShape(
        num_layers=draw(small),
        hidden_size=vision_heads * draw(small),
        num_heads=vision_heads,
        ffn_size=draw(small),
        num_channels=draw(small),
        image_size=patch + draw(st.integers(0, 7)),
        patch_size=patch,
        has_class_token=draw(st.booleans()),
    )
    return ModelShape(
        num_blocks=draw(small),
        hidden_size=draw(small),
        num_heads=kv_heads * draw(small),
        num_kv_heads=kv_heads,
        head_size=size,
        ffn_size=draw(small),
        gated_ffn=draw(st.booleans()),
        vocab_size=draw(small),
        vision=vision,
        projector=draw(st.lists(st.tuples(small, small), max_size=3).map(tuple)),
        visual_tokens_per_image=vision.num_patches,
        bytes_per_parameter=2,
    )


workloads = st.builds(
    workload,
    visual=st.integers(0, 5),
    text=st.integers(1, 5),
    generated=st.integers(0, 5),
    images=st.integers(0, 3),
    batch=st.integers(1, 3),
)


@given(shapes(), st.data(), workloads)
@settings(max_examples=draws(200))
def test_equals_the_slow_count_exactly(shape, data, load):
    plan = data.draw(plans(shape.num_blocks, shape.num_blocks))
    counted = flops(shape, plan, load).as_dict()
    assert counted == slow_flops(shape, plan, load)
    assert all(type(value) is int for value in counted.values())


def test_vision_tower_by_hand():
    # 2x2 patches of 2x2x3 = 12 numbers to width 4: 2*4*12*4 = 384; rows 5; per layer four 4x4 projections
    # 4*2*5*4*4 = 640, scores and mix 2*2*5*5*4 = 400, FFN 2*2*5*4*6 = 480; two layers 3040
    assert flops(TINY, DENSE, workload()).vision == 384 + 3040
    assert flops(TINY, DENSE, workload(images=3)).vision == 3 * 3424


def test_projector_by_hand():
    # 4 visual tokens: 2*4*4*8 + 2*4*8*8
    assert flops(TINY, DENSE, workload()).projector == 256 + 512


def test_prefill_by_hand():
    # 6 rows of width 8, 2 heads of 3, one of them for K and V: q and o 2*(2*6*8*6) = 1152,
    # k and v 2*(2*6*8*3) = 576, scores and mix 2*(2*2*6*6*3) = 864; gated FFN 3*(2*6*8*10) = 2880
    attention, ffn = 1152 + 576 + 864, 2880
    assert flops(TINY, DENSE, workload()).prefill == 2 * (attention + ffn)
    assert flops(TINY, Plan.parse(".a"), workload()).prefill == attention + 2 * ffn
    assert flops(TINY, Plan.parse("f."), workload()).prefill == 2 * attention + ffn
    assert flops(TINY, Plan.parse("b."), workload()).prefill == attention + ffn
    assert flops(TINY, Plan.parse("bb"), workload()).prefill == 0
    assert flops(TINY, Plan.parse("pp"), workload()).prefill == 2 * (attention + ffn)


def test_decode_by_hand():
    # 3 generated tokens are the prefill's and 2 steps, on 7 and 8 keys: projections 2*(192 + 96) = 576,
    # scores and mix 4*2*3*(7 + 8) = 360, FFN 2*480 = 960
    assert flops(TINY, DENSE, workload()).decode == 2 * (576 + 360 + 960)
    assert flops(TINY, Plan.parse("ab"), workload()).decode == 960
    assert flops(TINY, DENSE, workload(generated=1)).decode == 0
    assert flops(TINY, DENSE, workload(generated=0)).decode == 0


def test_head_by_hand():
    assert flops(TINY, DENSE, workload()).head == 3 * 2 * 8 * 7
    assert flops(TINY, DENSE, workload(generated=0)).head == 0


def test_plain_ffn_by_hand():
    plain = replace(TINY, gated_ffn=False)
    assert flops(TINY, DENSE, workload()).prefill - flops(plain, DENSE, workload()).prefill == 2 * 960


def test_llava_by_hand():
    """LLaVA-1.5-7B, one image, 64 other prompt tokens, 1 generated: the LLM's share worked out on paper."""
    ledger = flops(LLAVA_7B, Plan.dense(32), workload(visual=576, text=64, generated=1))
    weights_of_a_block = 4 * 4096 * 4096 + 3 * 4096 * 11008
    assert ledger.prefill == 32 * (2 * 640 * weights_of_a_block + 4 * 4096 * 640 * 640)
    assert ledger.prefill == 8_504_035_246_080
    assert ledger.head == 262_668_288


def test_batch_multiplies_everything():
    one, three = flops(TINY, DENSE, workload()), flops(TINY, DENSE, workload(batch=3))
    assert three.as_dict() == {name: 3 * value for name, value in one.as_dict().items()}


def test_means_lie_between_their_neighbors():
    def total(text, generated):
        return flops(TINY, DENSE, workload(text=text, generated=generated)).total

    assert total(2, 3) < total(2.5, 3) < total(3, 3)
    assert total(2, 3) < total(2, 3.25) < total(2, 3.5) < total(2, 4)
    assert total(2.0, 3.0) == total(2, 3) and type(total(2.0, 3.0)) is int
    assert total(2 + 1e-9, 3 + 1e-9) == pytest.approx(total(2, 3))


def test_mean_visual_tokens_and_images():
    ledger = flops(TINY, DENSE, workload(visual=6, images=1.5))
    assert ledger.vision == 1.5 * 3424
    assert ledger.projector == 1.5 * 768


def test_mean_decode_is_the_polynomial():
    # 1.5 steps: 1.5 tokens, keys 1.5*6 + 1.5*2.5/2 = 10.875
    assert flops(TINY, DENSE, workload(generated=2.5)).decode == 2 * (1.5 * 288 + 24 * 10.875 + 1.5 * 480)


def test_scopes_by_hand():
    # 4 visual and 2 other tokens. Skipped for visual ones: q and o of 2 rows 384, k and v of all 576,
    # scores and mix of 2 x 6 288; FFN of 2 rows 960
    def prefill(text):
        return flops(TINY, Plan.parse(text), workload()).prefill

    def decode(text):
        return flops(TINY, Plan.parse(text), workload()).decode

    attention, ffn = 2592, 2880
    assert prefill("av.") == (384 + 576 + 288) + ffn + attention + ffn
    assert prefill("fv.") == 2 * attention + ffn + 960
    assert prefill("bv.") == (384 + 576 + 288) + 960 + attention + ffn
    assert prefill("bt.") == 576 + attention + ffn  # the generated tokens will read its keys and values
    assert prefill("bg.") == prefill("pv.") == prefill("()t") == prefill("[]") == 2 * (attention + ffn)
    assert decode("bv.") == decode("at.") == decode("ft.") == decode("()g") == decode("..")
    assert decode("bg.") == decode("b.")
    assert decode("ag.") == decode("a.")


@pytest.mark.parametrize(
    ("text", "sublayers"),
    [
        *[(".", 2), ("a", 1), ("f", 1), ("b", 0), ("p", 1), (".afbp.", 7)],
        *[("()", 2), ("[]", 2), (".().", 6)],
        *[("bv", 2), ("pv", 2), ("()v", 4)],  # the text of the prompt takes the whole way
        *[("bt", 2), ("bg", 2), ("btbt", 4), ("btbg", 2), ("ptpg", 3), ("()tag", 5), ("()ta", 5)],
    ],
)
def test_depth(text, sublayers):
    assert depth(Plan.parse(text)) == sublayers


def test_costs_of_the_dense_plan():
    found = costs(TINY, DENSE, workload())
    assert found.flops == found.ledger.total == flops(TINY, DENSE, workload()).total
    assert found.flops_ratio == 1.0
    assert found.depth == 4


def test_costs_of_a_plan():
    found = costs(TINY, Plan.parse("ab"), workload())
    dense = flops(TINY, DENSE, workload()).total
    # of two blocks: both attentions go (prefill 2592, decode 576 + 360 each), and one FFN (2880, 960)
    assert found.flops == dense - 2 * (2592 + 576 + 360) - (2880 + 960)
    assert found.flops_ratio == found.flops / dense
    assert found.depth == 1


def test_costs_as_dict_is_flat():
    found = costs(TINY, Plan.parse("a."), workload())
    flat = found.as_dict()
    assert flat["flops"] == sum(
        flat[f"flops_{place}"] for place in ("vision", "projector", "prefill", "decode", "head")
    )
    assert set(flat) == {
        "flops",
        "flops_ratio",
        "sparse_flops",
        "depth",
        "parameter_bytes",
        "kv_bytes_per_token",
        "memory_bytes",
        "flops_vision",
        "flops_projector",
        "flops_prefill",
        "flops_decode",
        "flops_head",
    }


def test_plan_of_another_depth_is_refused():
    message = "a plan must have as many blocks as the model, 2, got 3 in '..b': write one character per block"
    with pytest.raises(PlanError) as caught:
        flops(TINY, Plan.parse("..b"), workload())
    assert str(caught.value) == message
    with pytest.raises(PlanError):
        costs(TINY, Plan.parse("..b"), workload())
