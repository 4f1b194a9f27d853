"""Whole models with images under a plan, and a reference that knows a block by its output weights only.

What a block computes is put together from runs of the untouched block with its attention's or FFN's last weights set to
zero; rows are then chosen by scope. The reference generates without a KV cache, the model under the plan with one.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spaces.kinds import BlockKind
from spaces.plan import Block, Op, Plan
from tests.workers.hub import hub_model, hub_processor, hub_samples
from tests.workers.test_apply_plan import snapshot
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.blocks.token_groups import CODES, prompt_groups
from workers.data.sample import Sample
from workers.models.chat_template import PromptEncoder
from workers.models.prompt_forms import PROMPT_FORMS

NEW_TOKENS = 3
END_OF_SEQUENCE = 2
QUESTIONS = ("what is the color ?", "is the digit here red or blue ?")
ENDS = ("down_proj", "fc2", "o_proj", "out_proj")


@dataclass(frozen=True)
class Case:
    """A model of a family and a batch of two questions of different lengths, padded on the left, two pictures."""

    family: str
    model: Any
    prompt_encoder: PromptEncoder
    inputs: dict[str, Tensor]

    @property
    def rereads_images(self) -> bool:
        """True if `generate` without a cache passes the image to every forward; BLIP-2's only to the first one."""
        return "blip" not in self.family

    @property
    def kinds(self) -> tuple[BlockKind, ...]:
        """The kind of every block."""
        return tuple(parts.kind for parts in anatomy_of(self.model).parts)

    def single(self) -> dict[str, Tensor]:
        """The first question alone."""
        sample = first_sample()
        return self.prompt_encoder.inputs([sample.question], [sample.image])


def first_sample() -> Sample:
    """The first question as a sample of a data set."""
    return hub_samples("search")[0]


@cache
def case_of(family: str) -> Case:
    prompt_encoder = PromptEncoder(hub_processor(family), PROMPT_FORMS.get(family))
    model = hub_model(family, attn="eager")
    if "Experts" in str(model):
        model.set_experts_implementation("eager")  # torch's counter doesn't see grouped matrix products
    pictures = [sample.image for sample in hub_samples("search")[:4:3]]
    return Case(family, model, prompt_encoder, prompt_encoder.inputs(QUESTIONS, pictures))


@torch.no_grad()
def generated(model: Any, inputs: dict[str, Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    """Tokens (B, T + new) and the logits (B, new, vocabulary) they were chosen from."""
    output = model.generate(
        **inputs,
        suppress_tokens=sorted(anatomy_of(model).image_tokens),
        **{"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False, **options},
        output_logits=True,
        return_dict_in_generate=True,
    )
    return output.sequences, torch.stack(output.logits, dim=1)


@contextmanager
def zeroed(module: nn.Module | list[nn.Module]) -> Iterator[None]:
    """The last weights of an attention or FFN, of every expert, set to 0: it adds nothing to the residual."""
    modules = module if isinstance(module, list) else [module]
    named = [pair for each in modules for pair in each.named_parameters()]
    saved = [(weight, weight.clone()) for name, weight in named if any(end in name for end in ENDS)]
    assert saved, "the last weights are known by name"
    try:
        for weight, _ in saved:
            weight.zero_()
        yield
    finally:
        for weight, before in saved:
            weight.copy_(before)


@contextmanager
def reference(model: Any, plan: Plan, prompt: Tensor) -> Iterator[None]:
    """Inside the `with`, passes without cache over `prompt` (B, T) and what was generated after it are the plan's."""
    anatomy = anatomy_of(model)
    groups = prompt_groups(prompt, anatomy.image_tokens)
    waiting: list[tuple[Tensor, Tensor]] = []
    with ExitStack() as stack:
        for block, level, before in zip(anatomy.blocks, plan.blocks, (None, *plan.blocks), strict=False):
            stack.callback(vars(block).pop, "forward")
            block.forward = _reference_block(block, level, before, groups, waiting)
        yield


def _reference_block(block: Any, level: Block, before: Block | None, groups: Tensor, waiting: list[Any]) -> Any:
    run = block.forward
    attention = next(child for child in block.children() if hasattr(child, "layer_idx"))
    ffn = nn.ModuleDict({name: child for name, child in block.named_children() if child is not attention})
    opening = before if level.op is Op.PAIRED and before is not None else level

    def forward(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        codes = torch.full(x.shape[:2], CODES["generated"])
        own = groups.repeat_interleave(len(x) // len(groups), dim=0)
        codes[:, : own.shape[1]] = own
        inside = torch.isin(codes, torch.tensor([CODES[group] for group in opening.scope.groups]))[..., None]

        def halves(*silent: Any) -> Tensor:
            with ExitStack() as stack:
                for each in silent:
                    stack.enter_context(zeroed(each))
                return run(x, *args, **kwargs)

        if level.op is Op.PAIRED:
            given, first = waiting.pop()
            between = x - first  # what the model itself adds there, such as image features to early blocks
            x = torch.where(inside, given, x)
            second = halves()
            deltas = (first - given) + (second - x)
            joined = given + between + deltas / (2 if opening.variant == "mean" else 1)
            return torch.where(inside, joined, second)
        usual = halves()
        if level.op is Op.PAIR:
            waiting.append((x, usual))
            return usual
        if level.op is Op.KEEP:
            return usual
        no_attention, no_ffn = halves(attention), halves(ffn)
        changed = {
            Op.SKIP_ATTN: no_attention,
            Op.SKIP_CROSS: no_attention,
            Op.SKIP_FFN: no_ffn,
            Op.SKIP_BLOCK: x,
            Op.PARALLEL: no_ffn + no_attention - x,
        }
        return torch.where(inside, changed[level.op], usual)

    return forward


def check_outputs(case: Case, plan: Plan, **options: Any) -> None:
    """Tokens and logits of `generate` with a KV cache under the plan are those of the reference without one."""
    with apply_plan(case.model, plan):
        got_tokens, got_logits = generated(case.model, case.inputs, **options)
    with reference(case.model, plan, case.inputs["input_ids"]):
        if case.rereads_images:
            uncached = {name: value for name, value in options.items() if name != "cache_implementation"}
            tokens, logits = generated(case.model, case.inputs, use_cache=False, **uncached)
        else:
            tokens, logits = _forced(case, got_tokens)
    torch.testing.assert_close(got_logits, logits, rtol=1e-3, atol=2e-3)
    assert torch.equal(got_tokens, tokens)


@torch.no_grad()
def _forced(case: Case, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest tokens and their logits, in one pass over the prompt and what was generated."""
    prompt = case.inputs["input_ids"]
    fed = torch.cat([prompt, tokens[:, -NEW_TOKENS:-1]], dim=1)
    mask = torch.cat([case.inputs["attention_mask"], torch.ones_like(tokens[:, -NEW_TOKENS:-1])], dim=1)
    logits = case.model(**{**case.inputs, "input_ids": fed, "attention_mask": mask}, use_cache=False).logits
    logits = logits[:, -NEW_TOKENS:]
    allowed = logits.clone()
    # no end token and no image token, so that `generate` runs to its limit
    allowed[..., [END_OF_SEQUENCE, *anatomy_of(case.model).image_tokens]] = -torch.inf
    return torch.cat([tokens[:, :-NEW_TOKENS], allowed.argmax(-1)], dim=1), logits


def check_restored(case: Case, plan: Plan) -> None:
    """The dense plan changes no bit; after any plan the model is as it was, to the last bit."""
    with torch.no_grad():
        untouched, state = case.model(**case.inputs).logits, snapshot(case.model)
        with apply_plan(case.model, Plan.dense(len(plan))):
            assert torch.equal(case.model(**case.inputs).logits, untouched)
        with apply_plan(case.model, plan):
            case.model(**case.inputs)
        assert snapshot(case.model) == state
        assert torch.equal(case.model(**case.inputs).logits, untouched)


def counted_flops(case: Case, plan: Plan) -> int:
    """FLOPs of `generate` on the first question by torch's counter, without rotary tables computed by a product."""
    counter = FlopCounterMode(display=False)
    with apply_plan(case.model, plan), counter:
        generated(case.model, case.single())
    places = {name: sum(found.values()) for name, found in counter.get_flop_counts().items()}
    rotary = [count for name, count in places.items() if name.endswith("rotary_emb") and "language_model" in name]
    return counter.get_total_flops() - max(rotary, default=0)
