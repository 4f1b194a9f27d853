"""Trials that are measured together get the reports that they get alone, and share what their plans have in common."""

import pytest
import torch

from spaces.block import SINGLE_OPS
from spaces.plan import Block, Op, Plan, Scope
from tests.fast import but_slow
from tests.spaces.drawn import fitted
from tests.workers.hub import ALL_KINDS, FEW
from tests.workers.whole import case_of, generated
from tests.workers.zoo import NUM_BLOCKS
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import anatomy_of
from workers.prefix_tree import PrefixTree
from workers.reports import TrialState
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource
from workers.trial import TrialRun, Worker

RUNGS = (Rung(questions=12, margins=True), Rung(tuning_steps=2))
PLANS = ["....", "a...", "f...", "p...", ".a.b", ".f.b", ".afp", "av..bg", "avf..", "()..", "()f.", "[]..", "bbbb"]
PLANS += ["{w50}....", ".{w50}...", ".a{w50}.."]

EACH = pytest.mark.parametrize("family", but_slow(ALL_KINDS, FEW))
LEVELS = [Block(op, scope) for scope in Scope for op in SINGLE_OPS if op is not Op.KEEP]
EVERY_LEVEL = [Plan.of([Op.KEEP, level, level, Op.KEEP]) for level in LEVELS]
PAIRS = [Plan.parse(text) for text in (".().", ".()f", ".[].", ".()v.")]
BRANCHES = [Plan.of([Op.KEEP, op, other, Op.KEEP]) for op in SINGLE_OPS for other in (Op.KEEP, Op.PARALLEL)]


@pytest.fixture(scope="module")
def worker():
    return Worker()


@pytest.fixture
def make(tiny_source):
    def request(text: str, **changes) -> TrialRequest:
        values = {"plan": Plan.parse(text), "model": tiny_source, "data": DataSource(name="tiny"), "rungs": RUNGS}
        return TrialRequest(**{**values, "threads": 1, **changes})

    return request


def alone(worker, request):
    run = TrialRun(worker, request)
    run.next()
    run.close()
    return run.report()


def numbers(report):
    """A report without its clock."""
    return report.model_copy(update={"rungs": tuple(rung.model_copy(update={"seconds": {}}) for rung in report.rungs)})


def test_together_equals_alone(worker, make):
    requests = [make(text, number=number) for number, text in enumerate(PLANS)]
    together = worker.evaluate(requests)
    assert [report.reason for report in together if not report.rungs] == []
    assert len({report.rungs[0].seconds["evaluate"] for report in together}) == 1, "they share the time of one pass"
    for request, report in zip(requests, together, strict=True):
        assert numbers(report) == numbers(alone(worker, request)), str(request.plan)
        assert report.rungs[0].margins and report.rungs[0].answers
    assert not any("forward" in vars(module) for module in worker.session.loaded.model.modules())


def test_the_next_rung_follows_by_a_request_of_its_own(worker, make):
    reports = worker.evaluate([make("a..."), make("f...")])
    assert [report.state for report in reports] == [TrialState.STOPPED] * 2
    (rest,) = worker.evaluate([make("a...", first_rung=1)])
    assert (rest.state, [rung.rung for rung in rest.rungs]) == (TrialState.COMPLETE, [1])


def test_a_plan_that_fails_fails_alone(worker, make):
    reports = worker.evaluate([make("a..."), make("....a"), make("f...")])
    assert [report.state for report in reports] == [TrialState.STOPPED, TrialState.FAILED, TrialState.STOPPED]
    assert "as many blocks as the model" in reports[1].reason
    assert numbers(reports[2]) == numbers(alone(worker, make("f...")))


def test_different_requests_are_run_alone(worker, make):
    requests = [make("a..."), make("a...", seed=1), make("f...", rungs=(Rung(questions=3),))]
    assert [numbers(report) for report in worker.evaluate(requests)] == [
        numbers(alone(worker, request)) for request in requests
    ]


def test_blocks_that_plans_share_run_once(worker, make):
    worker.load(make("...."))
    model, split = worker.session.loaded, worker.session.split("search")
    plans = [Plan.parse(text) for text in ("a..b", "a..f", "b...", "a.f.")]
    for max_bytes, blocks in ((2**30, 4 + 1 + 2 + 4), (0, 16)):
        tree = PrefixTree(model.model, plans, max_bytes)
        assert [str(plans[index]) for index in tree.order] == ["a..b", "a..f", "a.f.", "b..."]
        for index in tree.order:
            with tree.under(index):
                split.answer_ids(model, 4)
        assert tree.blocks_run == blocks, "without memory nothing is shared"


def test_attention_of_a_node_runs_once(worker, make):
    worker.load(make("...."))
    loaded, split = worker.session.loaded, worker.session.split("search")
    runs = []
    attention = anatomy_of(loaded.model).parts[2].attention
    tree = PrefixTree(loaded.model, [Plan.parse(text) for text in ("....", "..f.", "..p.", "..a.", "..b.")])
    handle = attention.q_proj.register_forward_hook(lambda module, args, output: runs.append(output.shape[1]))
    for index in tree.order:
        with tree.under(index):
            split.answer_ids(loaded, 4)
    handle.remove()
    assert sum(rows > 8 for rows in runs) == 1, "one prefill for keep, skip_ffn and parallel; decoding runs each"


@EACH
def test_every_family_generates_the_same_to_the_bit(family):
    """All ops and scopes, on whole models with their own `generate`."""
    case = case_of(family)
    plans = [fitted(plan, case.kinds) for plan in (*EVERY_LEVEL, *PAIRS, *BRANCHES)]
    tree = PrefixTree(case.model, plans)
    for index in tree.order:
        with apply_plan(case.model, plans[index]):
            tokens, logits = generated(case.model, case.inputs)
        with tree.under(index):
            others = generated(case.model, case.inputs)
        assert torch.equal(others[0], tokens) and torch.equal(others[1], logits), str(plans[index])
    assert tree.blocks_run < NUM_BLOCKS * len(plans)
