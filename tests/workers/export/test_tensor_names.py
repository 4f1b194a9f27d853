"""The tensors of an export have the names of the base checkpoint, less what was removed."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForImageTextToText

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.export.routes import stock_or_remote
from tests.workers.hub import ALL_KINDS, FEW
from tests.workers.hub_names import save_as_on_hub
from tests.workers.models.test_families import read, rows
from workers.apply_plan import apply_plan
from workers.blocks.anatomy import find_blocks
from workers.export import modeling_skipsearch
from workers.export.route import Badge
from workers.export.stock_layers import build, facts_of

PLANS = {"removed": "..b.", "remote": "av.b."}
CASES = [(family, name) for family in ALL_KINDS for name in PLANS]


def names(folder: Path) -> set[str]:
    """Names of the tensors of a checkpoint."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def of_block(name: str) -> int | None:
    """Return the number of the decoder block that a tensor belongs to."""
    found = re.search(r"^(?!.*vis).*\.layers\.(\d+)\.", name)
    return int(found[1]) if found else None


def load(family: str, folder: Path, kind: Any = AutoModelForImageTextToText) -> torch.nn.Module:
    options = {"attn_implementation": "eager", "dtype": torch.float32, "output_loading_info": True}
    model, found = kind.from_pretrained(folder, **options)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    if "moe" in family:
        model.set_experts_implementation("eager")
    return model.eval()


@pytest.mark.parametrize(("family", "name"), but_slow(CASES, [case for case in CASES if case[0] in FEW]))
def test_names_are_those_of_the_base_less_what_was_removed(family, name, tmp_path):
    base = tmp_path / "base"
    save_as_on_hub(base, family)
    model, plan = load(family, base), Plan.parse(PLANS[name])
    route = stock_or_remote(plan, facts_of(model))
    build(model, route).save_pretrained(tmp_path / "made")
    removed = names(base) - names(tmp_path / "made")
    if route.badge is Badge.STOCK:  # block 3 took the place of block 2
        assert removed == {each for each in names(base) if of_block(each) == 3}
    else:  # what belongs neither to attention nor to FFN stays
        assert removed
        assert {of_block(each) for each in removed} == {2}
    assert names(tmp_path / "made") <= names(base)
    kind = AutoModelForImageTextToText
    if route.badge is Badge.REMOTE:
        kind = getattr(modeling_skipsearch, f"Skipsearch{type(model).__name__}")
    made = load(family, tmp_path / "made", kind)
    with apply_plan(model, plan):
        want = read(model, *rows())
    assert torch.equal(read(made, *rows()), want)
    assert len(find_blocks(made)[1]) == (3 if route.badge is Badge.STOCK else 4)
