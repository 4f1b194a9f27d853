"""The layers of an export, and plans that can't be exported."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import OPTConfig

from spaces.plan import Plan
from spaces.pruning import Pruning
from tests.workers.export.routes import stock_or_remote
from tests.workers.tiny import tiny_config
from workers.export.layer_facts import config_facts
from workers.export.pack_layers import Layer, pack_sublayers
from workers.export.route import Badge, ExportError, export_route

FACTS = config_facts(tiny_config())
ANY = st.lists(st.sampled_from(list("..afb")), min_size=1, max_size=12).map("".join).map(Plan.parse)


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
        ("a.", "0 1+1"),
    ],
)
def test_neighboring_halves_share_a_layer(plan: str, layers: str) -> None:
    def shown(layer: Layer) -> str:
        return f"{layer.attention}+{layer.ffn}" if layer.is_whole else f"{layer.source}"

    assert " ".join(map(shown, pack_sublayers(Plan.parse(plan)))) == layers


@given(plan=ANY)
def test_every_half_that_runs_is_in_one_layer_and_in_order(plan: Plan) -> None:
    layers = pack_sublayers(plan)
    attentions = [layer.attention for layer in layers if layer.attention is not None]
    ffns = [layer.ffn for layer in layers if layer.ffn is not None]
    assert attentions == [i for i, op in enumerate(plan.ops) if op.runs_attention]
    assert ffns == [i for i, op in enumerate(plan.ops) if op.runs_ffn]
    for one, other in pairwise(layers):
        assert not (one.ffn is None and other.attention is None), "these two would have been packed"


@pytest.mark.parametrize(
    ("plan", "form", "badge"),
    [
        ("....", "auto", Badge.STOCK),
        (".b.b", "transformers", Badge.STOCK),
        ("f.ba", "auto", Badge.REMOTE),
        ("f.ba", "transformers", Badge.ZEROED),
        ("fa..", "auto", Badge.STOCK),
        (".a..", "auto", Badge.REMOTE),
        (".a..", "transformers", Badge.ZEROED),
        (".a..", "remote-code", Badge.REMOTE),
        ("...p", "auto", Badge.REMOTE),
        ("b...", "remote-code", Badge.REMOTE),
    ],
)
def test_badges(plan: str, form: str, badge: Badge) -> None:
    route = export_route(Plan.parse(plan), FACTS, form)
    assert route.badge is badge
    assert bool(route.notes) == (badge is not Badge.STOCK)


def test_zeroed_halves_are_named() -> None:
    (note,) = export_route(Plan.parse(".a.f"), FACTS, "transformers").notes
    assert "2 of 4 layers" in note
    assert "FFN 1, attention 3" in note


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (".p..", "parallel at block 1"),
        ("..av.", "skip_attn:visual at block 2"),
        (".[].", "pair:all:mean at block 1"),
    ],
)
def test_what_stock_layers_cannot_do_goes_by_remote_code(plan: str, why: str) -> None:
    note, _ = export_route(Plan.parse(plan), FACTS).notes
    assert why in note
    with pytest.raises(ExportError, match=f"--format transformers must be.*{why}.*use --format auto"):
        export_route(Plan.parse(plan), FACTS, "transformers")


def test_by_remote_code_blocks_stay_apart() -> None:
    route = export_route(Plan.parse("fab()g"), FACTS, "remote-code")
    assert route.layers == (Layer(0, None), Layer(None, 1), Layer(3, 3), Layer(4, 4))
    assert route.kept_blocks == (0, 1, 3, 4)


@pytest.mark.parametrize(
    ("facts", "plan", "why"),
    [
        ({"fixed": 2, "why_fixed": "for a reason"}, ".b..", "block 1 must stay in its place: for a reason"),
        ({"fixed": 2, "why_fixed": "for a reason"}, ".fa.", "block 1 must stay"),
        ({"mixable": False}, ".fa.", "neither of their attention nor of their FFN"),
        ({"can_silence": False}, ".f..", "silences a sub-layer"),
    ],
)
def test_models_whose_layers_cannot_move(facts: dict[str, Any], plan: str, why: str) -> None:
    route = export_route(Plan.parse(plan), replace(FACTS, **facts))
    assert route.badge is Badge.REMOTE
    assert why in route.notes[0]
    assert stock_or_remote(Plan.parse(plan), FACTS).badge is not Badge.REMOTE


def test_layers_behind_the_fixed_ones_can_move() -> None:
    assert export_route(Plan.parse("..fa"), replace(FACTS, fixed=2)).badge is Badge.STOCK


@pytest.mark.parametrize(
    ("plan", "badges", "width"),
    [
        ("{w50}.b..", (Badge.STOCK, Badge.SPARSE), None),
        ("{ffn50}.b..", (Badge.STOCK,), Pruning(ffn_width=50)),
        ("f{h50}a{ffn50}bb", (Badge.STOCK,), Pruning(head_width=50, ffn_width=50)),
        (".{ffn50}...", (Badge.REMOTE,), None),
        ("{m2:4,h50}....", (Badge.STOCK, Badge.SPARSE), Pruning(head_width=50)),
    ],
)
def test_pruned_plans(plan: str, badges: tuple[Badge, ...], width: Pruning | None) -> None:
    route = export_route(Plan.parse(plan), FACTS)
    assert route.badges == badges
    assert route.badge is Badge.REMOTE or route.width == width


def test_a_config_that_does_not_say_how_wide_layers_are() -> None:
    with pytest.raises(ExportError, match="the config has no num_key_value_heads"):
        export_route(Plan.parse("{ffn50}...."), replace(FACTS, text=OPTConfig()), "transformers")


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'remote-code'"):
        export_route(Plan.parse("...."), FACTS, "remote_code")
