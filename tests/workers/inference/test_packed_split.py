"""Packing is exact: packed logits are those of one question per row."""

from dataclasses import replace

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from spaces.scope import Group
from workers.blocks.token_groups import CODES
from workers.inference.packed_batch import IGNORED, Tokenized, pack

IMAGE, PAD = 3, 0
PREFIX = (1, *[IMAGE] * 4, 7)
ITEMS = [
    Tokenized(0, (*PREFIX, 8, 9, 10), (20, 2)),
    Tokenized(1, (*PREFIX, 8, 11), (21, 22, 2)),
    Tokenized(0, (*PREFIX, 12), (23, 24, 25, 2)),
    Tokenized(0, (*PREFIX, 9, 9, 9, 9, 10), (26, 2)),
]
TOKENS = {"image_token": IMAGE, "pad_token": PAD}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    text = LlamaConfig(
        vocab_size=32,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        pad_token_id=PAD,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=IMAGE,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def packed_logits(model, pixels, batch):
    embeds = model.get_input_embeddings()(batch.input_ids)
    visual = torch.stack(list(model.get_image_features(pixels).pooler_output))[batch.images]
    embeds = embeds.masked_scatter((batch.input_ids == IMAGE)[..., None], visual)
    hidden = model.model.language_model(
        inputs_embeds=embeds, attention_mask=batch.mask(torch.float32), position_ids=batch.position_ids
    )
    return model.lm_head(hidden.last_hidden_state)


@torch.no_grad()
def plain_logits(model, pixels, item, ids):
    return model(input_ids=torch.tensor([ids]), pixel_values=pixels[item.image : item.image + 1]).logits[0]


@pytest.mark.parametrize("per_image", [1, 2, 8])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_logits_equal_plain_logits(model, pixels, per_image, attention):
    model.set_attn_implementation(attention)
    seen = []
    for batch in pack(ITEMS, per_image, True, **TOKENS, batch_size=2):
        logits = packed_logits(model, pixels, batch)
        assert torch.isfinite(logits).all()
        for row, question in zip(*torch.nonzero(batch.owner >= 0, as_tuple=True), strict=True):
            item = ITEMS[batch.owner[row, question]]
            start = batch.last[row, question]
            got = logits[row, start : start + len(item.answer)]
            expected = plain_logits(model, pixels, item, item.prompt + item.answer[:-1])[-len(item.answer) :]
            torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
            assert batch.labels[row, start : start + len(item.answer)].tolist() == list(item.answer)
            seen.append(int(batch.owner[row, question]))
    assert sorted(seen) == list(range(len(ITEMS)))


def test_only_answers_are_labeled():
    (batch,) = pack(ITEMS, 8, True, **TOKENS)
    assert int((batch.labels != IGNORED).sum()) == sum(len(item.answer) for item in ITEMS)


def test_without_answers_a_question_ends_with_its_prompt():
    (batch,) = pack(ITEMS, 8, False, **TOKENS)
    assert (batch.labels == IGNORED).all()
    assert batch.input_ids[0].tolist() == [*PREFIX, 8, 9, 10, 12, 9, 9, 9, 9, 10]
    assert batch.position_ids[0].tolist() == [*range(6), 6, 7, 8, 6, 6, 7, 8, 9, 10]
    assert batch.segment[0].tolist() == [0] * 6 + [1] * 3 + [2] + [3] * 5
    assert batch.last.tolist() == [[8, 9, 14], [7, -1, -1]]
    assert batch.owner.tolist() == [[0, 2, 3], [1, -1, -1]]


def test_left_over_positions_are_padding():
    (batch,) = pack(ITEMS, 8, False, **TOKENS)
    left_over = batch.segment[1] < 0
    assert left_over.tolist() == [False] * 8 + [True] * 7
    assert (batch.input_ids[1, left_over] == PAD).all()
    mask = batch.mask(torch.float32)
    assert (mask[1, 0, :8, 8:] < 0).all(), "no question may see padding"
    assert (mask.max(dim=-1).values == 0).all(), "no row may be empty"


def test_every_image_token_must_be_shared():
    late = [Tokenized(0, (5, IMAGE, IMAGE, 8), (20, 2)), Tokenized(0, (6, IMAGE, IMAGE, 8), (21, 2))]
    (batch,) = pack(late, 8, True, **TOKENS)
    assert batch.owner.tolist() == [[0], [1]]


def test_equal_prompts_keep_a_token_of_their_own():
    (batch,) = pack([ITEMS[0], ITEMS[0]], 8, False, **TOKENS)
    assert batch.segment[0].tolist() == [0] * 8 + [1, 2]


def test_batches_have_the_size_asked_for():
    items = [Tokenized(image, ITEMS[0].prompt, ITEMS[0].answer) for image in range(5)]
    assert [len(batch.images) for batch in pack(items, 8, True, **TOKENS, batch_size=2)] == [2, 2, 1]
    assert pack([], 8, True, **TOKENS) == []


@pytest.mark.parametrize("bad", [{"per_image": 0}, {"batch_size": 0}])
def test_counts_below_one_are_refused(bad):
    with pytest.raises(ValueError, match="at least 1"):
        pack(ITEMS, **{"per_image": 8, "with_answers": True, **TOKENS, **bad})


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="empty"):
        pack([Tokenized(0, (), (20, 2))], 8, True, **TOKENS)


def test_groups_by_hand():
    """Of a pack of two questions: prefix and prompts, image tokens, and the answer tokens that are fed."""
    (batch,) = pack([ITEMS[1], replace(ITEMS[2], image=1)], 2, with_answers=True, **TOKENS)
    assert batch.input_ids[0].tolist() == [*PREFIX, 8, 11, 21, 22, 12, 23, 24, 25]
    letters = {code: group[0] for group, code in CODES.items()}
    assert "".join(letters[code] for code in batch.groups(IMAGE)[0].tolist()) == "tvvvvtttggtggg"


def test_groups_without_answers_are_those_of_prompts():
    (batch,) = pack(ITEMS, 3, with_answers=False, **TOKENS)
    groups = batch.groups(IMAGE)
    assert set(groups.flatten().tolist()) == {CODES[Group.TEXT], CODES[Group.VISUAL]}
    assert ((groups == CODES[Group.VISUAL]) == (batch.input_ids == IMAGE)).all()
