"""Calibration norms against norms taken one sample at a time, without packing, padding or hooks of ours."""

import pytest
import torch

from spaces.pruning import Calibration
from tests.workers.tiny import IMAGE_TOKEN
from workers.inference.packed_batch import PackedBatch, pack
from workers.inference.packed_forward import embed
from workers.pruning.calibrate import calibrate, norms_of

LAYERS = {
    "0.self_attn.q_proj": "self_attn.q_proj",
    "2.mlp.down_proj": "mlp.down_proj",
    "3.self_attn.o_proj": "self_attn.o_proj",
}


def one_by_one(loaded, prepared, items, name):
    """Per choice of tokens the norms of a layer's inputs: every sample alone, through the stock model."""
    block, _, path = name.partition(".")
    layer = loaded.model.model.language_model.layers[int(block)].get_submodule(path)
    read, kinds = [], []
    hook = layer.register_forward_hook(lambda _, args, __: read.append(args[0][0].double()))
    for item in items:
        ids = torch.tensor([[*item.prompt, *item.answer[:-1]]])
        embeddings = embed(loaded, ids, prepared.features[[item.image]])
        loaded.model.model.language_model(inputs_embeds=embeddings, use_cache=False)
        kinds.append(ids[0] == IMAGE_TOKEN)
    hook.remove()
    rows, is_image = torch.cat(read), torch.cat(kinds)
    picked = {"whole": rows, "text": rows[~is_image], "image": rows[is_image]}
    return {mode: values.square().sum(0).sqrt().float() for mode, values in picked.items()}


def padded(batch: PackedBatch, columns: int, pad_token: int) -> PackedBatch:
    """The batch with more padding on the right."""
    fills = {"input_ids": pad_token, "position_ids": 0, "segment": -1, "labels": -100}
    return PackedBatch(
        **{
            name: torch.nn.functional.pad(value, (0, columns), value=fills[name]) if name in fills else value
            for name, value in vars(batch).items()
        }
    )


def batches(loaded, items):
    return pack(
        items, 1, with_answers=True, image_token=loaded.image_token, pad_token=loaded.pad_token, batch_size=len(items)
    )


@pytest.mark.parametrize("name", LAYERS)
def test_equal_the_norms_of_samples_one_by_one(loaded, prepared, name):
    items = prepared.items[:5]
    found = norms_of(loaded, prepared, batches(loaded, items))
    with torch.no_grad():
        expected = one_by_one(loaded, prepared, items, name)
    for mode in Calibration:
        torch.testing.assert_close(found[mode][name], expected[mode], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found[Calibration.TEXT][name], found[Calibration.IMAGE][name], rtol=0.05)


def test_padding_changes_nothing(loaded, prepared):
    (batch,) = batches(loaded, prepared.items[:6])
    assert (batch.segment < 0).any()
    plain = norms_of(loaded, prepared, [batch])
    more = norms_of(loaded, prepared, [padded(batch, 40, loaded.pad_token)])
    for mode in Calibration:
        for name, norms in plain[mode].items():
            torch.testing.assert_close(more[mode][name], norms, rtol=1e-5, atol=1e-6)


def test_samples_are_drawn_once_and_for_all(loaded, prepared):
    first, again, fewer = (calibrate(loaded, prepared, count) for count in (12, 12, 6))
    whole = Calibration.WHOLE
    assert all(torch.equal(first[whole][name], again[whole][name]) for name in first[whole])
    assert all((fewer[whole][name] <= first[whole][name] * (1 + 1e-5)).all() for name in first[whole])
    assert calibrate(loaded, prepared, 10_000)[whole].keys() == first[whole].keys()
    assert len(first[whole]) == 4 * 7


def test_nothing_stays_on_the_model(loaded, prepared):
    calibrate(loaded, prepared, 4)
    assert not any(module._forward_pre_hooks for module in loaded.model.modules())
