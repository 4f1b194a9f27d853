"""The calls that vLLM's Transformers backend makes on a model with remote code, one by one.

Read from vllm/model_executor/models/transformers/base.py at commit 810fb5d66ecbb2f08181383a06edc059bdf3dedc.
vLLM itself is not run here: the pinned versions exclude it.
"""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.hub import hub_model
from workers.apply_plan import apply_plan
from workers.export import modeling_skipsearch
from workers.export.route import export_route, served
from workers.export.stock_layers import build, facts_of

PLANS = ("ba..", "p...", ".()f", ".[].", "a..b")
SPANS = ((0, 5), (5, 12))
"""Two requests in one flat batch: first token and end of each."""


def attend(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Causal attention within each request, (1, T, heads, width)."""
    allowed = torch.zeros(query.shape[2], query.shape[2], dtype=torch.bool)
    for first, last in SPANS:
        allowed[first:last, first:last] = torch.ones(last - first, last - first).tril()
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
    scores = (query @ key.mT * scaling).masked_fill(~allowed, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


def flat(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float,
         attention_instances: dict[int, Any], **kwargs: Any) -> tuple[Tensor, None]:  # fmt: skip
    """Stand in for vLLM's attention function: one instance per layer index, and no KV cache of transformers."""
    return attention_instances[module.layer_idx](query, key, value, scaling), None


def replace_modules(module: nn.Module) -> None:
    """Replace every linear layer and RMS norm by a new module, as `recursive_replace` does."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear) or type(child).__name__.endswith("RMSNorm"):
            new = copy.copy(child)
            vars(new).pop("forward", None)  # a new module has no patch of ours
            setattr(module, name, new)
        else:
            replace_modules(child)


@pytest.fixture(scope="module")
def whole() -> nn.Module:
    return hub_model("llava", attn="eager")


def serve(whole: nn.Module, text: str, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Build the base model as the backend does, and load the weights into it."""
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "flat", flat)
    built = build(whole, export_route(Plan.parse(text), facts_of(whole), "remote-code"))
    assert built.config.auto_map["AutoModel"] == "modeling_skipsearch.SkipsearchLlavaModel"
    config = copy.deepcopy(built.config)
    config.get_text_config()._attn_implementation = "flat"
    with torch.device("meta"):  # AutoModel.from_config(config, trust_remote_code=True) calls this
        model = modeling_skipsearch.SkipsearchLlavaModel._from_config(config, dtype=torch.float32)
    assert len(model.language_model.layers) == config.get_text_config().num_hidden_layers
    replace_modules(model)
    state = {
        name.removeprefix("model."): tensor for name, tensor in built.state_dict().items() if "lm_head" not in name
    }
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    assert not unexpected
    assert not missing
    rotary = model.language_model.rotary_emb  # buffers are not on the meta device in the backend
    model.language_model.rotary_emb = type(rotary)(config.get_text_config())
    return model.eval()


@pytest.mark.parametrize("text", but_slow(PLANS, ["p..."]))
def test_a_flat_batch_of_two_requests(whole, text, monkeypatch):
    model = serve(whole, text, monkeypatch)
    ids = torch.randint(5, 15, (1, 12), generator=torch.Generator().manual_seed(0))
    positions = torch.cat([torch.arange(last - first) for first, last in SPANS])
    with torch.no_grad():
        hidden = model(
            input_ids=None,
            inputs_embeds=model.get_input_embeddings()(ids),
            use_cache=False,
            position_ids=positions[None],
            attention_instances=dict.fromkeys(range(len(model.language_model.layers)), attend),
            return_dict=False,
        )[0][0]
        got = whole.lm_head(hidden)
        with apply_plan(whole, Plan.parse(text)):
            want = torch.cat([whole(ids[:, first:last]).logits[0] for first, last in SPANS])
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p...", "keeps to the calls"),
        ("av...", "can't run it: skip_attn.* at block 0 depends on the kind of a token"),
        ("{h50}....", "can't run it: it gives all layers the number of heads"),
    ],
)
def test_what_the_backend_cannot_run_is_told(text, told):
    assert re.search(told, served(Plan.parse(text)))
