"""Mask files: what is saved is read, intersected, counted and used again; anything else is refused in one line."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from typer.testing import CliRunner

from objectives.flops import costs
from objectives.workload import Workload
from spaces.plan import Plan, PlanError
from spaces.pruning import Linears, Method, Pruning
from tests.workers.pruning.test_apply import ATTENTION, FFN, layers
from workers.describe import check_fit, describe_model
from workers.fingerprints import fingerprint_model
from workers.pruning.__main__ import app
from workers.pruning.files import MaskFile, intersected, read_masks, read_weights
from workers.pruning.make import make_masks, mask_file, masks_for
from workers.requests import TrialRequest
from workers.sources import DataSource
from workers.trial import Worker, run_trial

ROLES = {"0.a": "query_and_output", "0.b": "key_and_value", "1.c": "ffn"}
SHAPES = {"0.a": (3, 5), "0.b": (2, 7), "1.c": (4, 4)}


def drawn(seed):
    generator = np.random.default_rng(seed)
    return {name: generator.random(shape) < 0.5 for name, shape in SHAPES.items()}


def saved(tmp_path, seed, name="one"):
    path = tmp_path / f"{name}.safetensors"
    MaskFile.of(drawn(seed), ROLES, {"pruning": f"seed {seed}"}).save(path)
    return path


@given(st.integers(0, 99), st.integers(1, 4))
def test_an_intersection_keeps_what_all_keep(seed, count):
    masks = [drawn(seed + place) for place in range(count)]
    joined = intersected([MaskFile.of(each, ROLES, {"place": place}) for place, each in enumerate(masks)])
    for name in SHAPES:
        expected = np.logical_and.reduce([each[name] for each in masks])
        assert (joined.mask(name) == expected).all()
    left = sum(int(joined.mask(name).sum()) for name in SHAPES)
    assert sum(map(sum, joined.weights)) == left
    assert joined.sparsity == pytest.approx(1 - left / (15 + 14 + 16))
    assert [source["place"] for source in joined.sources] == list(range(count))


def test_what_is_saved_is_read(tmp_path):
    path, masks = saved(tmp_path, 3), drawn(3)
    read = read_masks(path)
    assert all((read.mask(name) == mask).all() for name, mask in masks.items())
    counts = [
        tuple(int(masks[name].sum()) if name in masks else 0 for name in row)
        for row in (("0.a", "0.b", ""), ("", "", "1.c"))
    ]
    assert [tuple(each) for each in read_weights(path)] == counts == [tuple(each) for each in read.weights]
    assert read.sources == ({"pruning": "seed 3"},)
    assert path.stat().st_size < 2000


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "masks must be a file that python -m workers.pruning wrote, got "),
        (lambda path: path.write_text("no safetensors"), "masks must be a file that python -m workers.pruning wrote"),
        (
            lambda path: save_file({"a": np.ones(3)}, path),
            "masks must be a file of version 1 that python -m workers.pr",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, make, told):
    path = tmp_path / "other.safetensors"
    make(path)
    for read in (read_masks, read_weights):
        with pytest.raises(ValueError) as caught:
            read(path)
        assert told in str(caught.value) and "\n" not in str(caught.value)


def test_masks_of_unlike_models_are_not_intersected():
    wide = {**drawn(0), "1.c": np.ones((4, 5), dtype=bool)}
    with pytest.raises(ValueError, match="masks must be of one model to be intersected"):
        intersected([MaskFile.of(drawn(0), ROLES, {}), MaskFile.of(wide, ROLES, {})])


@pytest.fixture(scope="module")
def half(loaded):
    return make_masks(loaded.model, Pruning(Method.MAGNITUDE, 50), None)


@pytest.fixture(scope="module")
def path(loaded, half, tmp_path_factory):
    path = tmp_path_factory.mktemp("masks") / "half.safetensors"
    mask_file(loaded.model, half, {"pruning": "m50"}).save(path)
    return path


class TestOnAModel:
    def test_masks_come_back_from_a_file(self, loaded, half, path):
        again = masks_for(loaded.model, read_masks(path))
        assert again.keys() == half.keys()
        assert all(torch.equal(again[name], half[name]) for name in half)

    def test_every_weight_of_the_blocks_is_counted_once(self, loaded, half, path):
        for index, counts in enumerate(read_weights(path)):
            own = {path: half[f"{block}.{path}"] for block, path, _ in layers(loaded.model) if block == index}
            assert counts.ffn == sum(int(own[f"mlp.{name}"].sum()) for name in FFN)
            assert counts.key_and_value == sum(int(own[f"self_attn.{name}_proj"].sum()) for name in "kv")
            assert sum(counts) - counts.ffn == sum(int(own[f"self_attn.{name}"].sum()) for name in ATTENTION)

    def test_layers_left_alone_keep_everything(self, loaded):
        masks = make_masks(loaded.model, Pruning(Method.MAGNITUDE, 50, linears=Linears.FFN), None)
        assert all(mask.all() == ("attn" in name) for name, mask in masks.items())

    def test_of_another_model_is_refused(self, loaded, path):
        file = read_masks(path)
        shapes = {**file.shapes, "2.mlp.up_proj": (48, 31)}
        with pytest.raises(ValueError, match=r"masks must be those of the model, got .* in 2\.mlp\.up_proj"):
            masks_for(loaded.model, MaskFile(file.packed, shapes, file.roles, file.sources))

    def request(self, source, text, **changes):
        plan = json.loads(Plan.parse(text).to_json())
        return TrialRequest(plan=plan, model=source, data=DataSource(name="tiny"), threads=1, **changes)

    def test_a_trial_uses_the_file(self, tiny_source, path):
        source = tiny_source.model_copy(update={"masks": str(path)})
        saved, magnitude = (
            run_trial(Worker(), self.request(source, text), lambda rung: True) for text in ("{saved}....", "{m50}....")
        )
        assert saved.rungs[0].scores == magnitude.rungs[0].scores
        # 50 % of every row of each matrix in the file, the closed form of m50
        assert saved.rungs[0].costs["sparse_flops"] == magnitude.rungs[0].costs["sparse_flops"]
        assert saved.rungs[0].costs["sparse_flops"] < saved.rungs[0].costs["flops"]

    def test_costs_are_known_without_the_masks_themselves(self, tiny_source, path):
        shape = describe_model(tiny_source.model_copy(update={"masks": str(path)}))
        load = Workload(visual_tokens=4, text_tokens=5, generated_tokens=2)
        assert costs(shape, Plan.parse("{saved}...."), load) == costs(shape, Plan.parse("{m50}...."), load)

    def test_a_plan_without_the_file_is_refused_before_anything_is_loaded(self, tiny_source):
        with pytest.raises(PlanError, match="a block with a saved mask must have a mask file with the model"):
            check_fit(describe_model(tiny_source), self.request(tiny_source, ".{saved}..."))

    def test_masks_of_another_depth_are_refused(self, tiny_source, tmp_path):
        source = tiny_source.model_copy(update={"masks": str(saved(tmp_path, 1))})
        with pytest.raises(ValueError, match="masks must have as many blocks as the model, 4, got 2 in "):
            describe_model(source)

    def test_the_fingerprint_knows_the_masks(self, tiny_source, path, tmp_path):
        marks = {
            fingerprint_model(tiny_source.model_copy(update={"masks": masks}))
            for masks in (None, str(path), str(saved(tmp_path, 1)))
        }
        assert len(marks) == 3


class TestCommand:
    def run(self, *arguments):
        return CliRunner().invoke(app, list(map(str, arguments)))

    def make(self, folder, to, pruning, *more):
        return self.run(
            "make",
            "--model",
            json.dumps({"name": str(folder), "device": "cpu"}),
            "--dataset",
            "tiny",
            "--to",
            to,
            "--pruning",
            pruning,
            *more,
        )

    def test_masks_of_two_tasks_are_made_and_intersected(self, tiny_folder, tmp_path):
        first, second, both = (tmp_path / "masks" / f"{name}.safetensors" for name in ("first", "second", "both"))
        for to, kind in ((first, "kind-0"), (second, "kind-1")):
            done = self.make(tiny_folder, to, "w50/text", "--kind", kind)
            assert done.exit_code == 0, done.output
            assert "0.5000 of the weights of 4 blocks become zero" in done.output
        assert self.run("intersect", first, second, "--to", both).exit_code == 0
        one, two, joined = (read_masks(path) for path in (first, second, both))
        assert 0.5 < joined.sparsity < 0.9
        for name in joined.shapes:
            assert (joined.mask(name) == (one.mask(name) & two.mask(name))).all()
        shown = self.run("show", both).output
        assert "kinds kind-0" in shown and "kinds kind-1" in shown and "pruning w50/text" in shown

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("w50", "--kind", "kind-9"), "unknown kind of question 'kind-9' (did you mean 'kind-2'?)"),
            (("h50",), "masks are made by magnitude or Wanda, without widths, got 'h50': write w50 or m2:4"),
            (("x50",), "unknown pruning 'x50'"),
        ],
    )
    def test_mistakes_are_one_line(self, tiny_folder, tmp_path, arguments, told):
        done = self.make(tiny_folder, tmp_path / "mask.safetensors", *arguments)
        assert done.exit_code == 2 and told.split(" (did")[0] in done.output
        assert not (tmp_path / "mask.safetensors").exists()

    def test_one_file_is_no_intersection(self, tmp_path):
        done = self.run("intersect", saved(tmp_path, 1), "--to", tmp_path / "x.safetensors")
        assert done.exit_code == 2 and "an intersection needs two or more mask files, got 1" in done.output
