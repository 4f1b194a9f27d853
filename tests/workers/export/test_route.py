"""How plans become layers, and what can't be exported."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.plan import Op, Plan
from tests.workers.tiny import tiny_config
from workers.export import route as routes
from workers.export.route import Badge, ExportError, Layer, export_route, pack_halves
from workers.families import families_of

FAMILIES = families_of(tiny_config().to_dict())
ANY = st.lists(st.sampled_from(list("..afbp")), min_size=1, max_size=12).map("".join).map(Plan.parse)


@pytest.mark.parametrize(
    ("plan", "layers"),
    [
        ("..", "0+0 1+1"),
        (".b.", "0+0 2+2"),
        ("bb", ""),
        ("fa", "0+1"),
        ("f.a", "0 1+1 2"),
        ("fba", "0+2"),
        ("af", "0 1"),
        ("ffaa", "0 1+2 3"),
        ("fpa", "0 1p1 2"),
        ("a.", "0 1+1"),
    ],
)
def test_neighboring_halves_share_a_layer(plan: str, layers: str) -> None:
    def shown(layer: Layer) -> str:
        return f"{layer.attention}{'p' if layer.parallel else '+'}{layer.ffn}" if layer.is_whole else f"{layer.source}"

    assert " ".join(map(shown, pack_halves(Plan.parse(plan)))) == layers


@given(plan=ANY)
def test_every_half_that_runs_is_in_one_layer_and_in_order(plan: Plan) -> None:
    layers = pack_halves(plan)
    attentions = [layer.attention for layer in layers if layer.attention is not None]
    ffns = [layer.ffn for layer in layers if layer.ffn is not None]
    assert attentions == [i for i, op in enumerate(plan.ops) if op.runs_attention]
    assert ffns == [i for i, op in enumerate(plan.ops) if op.runs_ffn]
    for one, other in pairwise(layers):
        assert not (one.kind == "S" and other.kind == "F"), "these two would have been packed"


@pytest.mark.parametrize(
    ("plan", "form", "badge"),
    [
        ("....", "auto", Badge.STOCK),
        (".b.b", "transformers", Badge.STOCK),
        ("f.ba", "auto", Badge.ZEROED),
        ("fa..", "auto", Badge.STOCK),
        (".a..", "auto", Badge.ZEROED),
        (".a..", "remote-code", Badge.REMOTE),
        ("...p", "auto", Badge.REMOTE),
        ("b...", "remote-code", Badge.REMOTE),
    ],
)
def test_badges(plan: str, form: str, badge: Badge) -> None:
    route = export_route(Plan.parse(plan), FAMILIES, form)
    assert route.badge is badge
    assert bool(route.notes) == (badge is not Badge.STOCK)


def test_zeroed_halves_are_named() -> None:
    (note,) = export_route(Plan.parse(".a.f"), FAMILIES).notes
    assert "2 of 4 layers" in note
    assert "FFN 1, attention 3" in note


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match=r"without parallel blocks, got '\.p\.\.'"):
        export_route(Plan.parse(".p.."), FAMILIES, "transformers")
    with pytest.raises(ValueError, match="did you mean 'remote-code'"):
        export_route(Plan.parse("...."), FAMILIES, "remote_code")
    monkeypatch.setattr(routes, "DECODERS", {})
    with pytest.raises(ExportError, match="for llama: export a plan of whole blocks"):
        export_route(Plan.parse(".a.."), FAMILIES)
    assert export_route(Plan.parse(".b.."), FAMILIES).badge is Badge.STOCK
    monkeypatch.setattr(routes, "REMOTE_CLASSES", {})
    with pytest.raises(ExportError, match="for llava"):
        export_route(Plan.parse(".p.."), FAMILIES)
    monkeypatch.delitem(routes.HALVES, Op.PARALLEL)
    with pytest.raises(ExportError, match="got parallel at block 1"):
        export_route(Plan.parse(".p.."), FAMILIES)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"op": "skip_ffn", "scope": "visual"}, "got skip_ffn:visual at block 1"),
        ({"op": "pair", "variant": "mean"}, "got pair:all:mean at block 1"),
        ({"op": "keep", "pruning": {"ffn_width": 50}}, "got keep{ffn50} at block 1"),
    ],
)
def test_what_no_row_describes_is_refused(block: dict[str, str], told: str) -> None:
    blocks = [{"op": "keep"}, block, {"op": "paired" if block["op"] == "pair" else "keep"}]
    plan = Plan.from_json({"schema": 1, "blocks": blocks, "pruning": None})
    with pytest.raises(ExportError, match=told):
        export_route(plan, FAMILIES)
