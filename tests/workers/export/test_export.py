"""Whole exports of a tiny model, checked in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaProcessor
from transformers.utils import is_torchvision_available

from spaces.plan import Plan
from tests.fast import slow
from tests.workers.hub import save_hub
from tests.workers.tiny import inputs
from workers import load_exported
from workers.apply_plan import apply_plan
from workers.export import write as writing
from workers.export.bundle import bundle
from workers.export.request import ExportRequest
from workers.export.route import ExportError
from workers.export.write import export
from workers.models.load_model import load_model
from workers.models.trainable import put_state
from workers.requests import Rung, TrialRequest
from workers.sources import DataSource, ModelSource

FILES = {
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors", "plan.json",
    "processor_config.json", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip

BUNDLE = bundle("workers.export.modeling_skipsearch")


def request(tiny_source, text: str, **changes) -> ExportRequest:
    trial = TrialRequest(
        plan=json.loads(Plan.parse(text).to_json()),
        model=tiny_source,
        data=DataSource(name="tiny"),
        rungs=(Rung(split="test"),),
        threads=1,
        **{name: changes.pop(name) for name in ("mapping_module",) if name in changes},
    )
    return ExportRequest(trial=trial, drawing=("a drawing",), **changes)


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def tuned(loaded, tmp_path_factory):
    """A mapping module unlike the dense one."""
    file = tmp_path_factory.mktemp("artifacts") / "tuned.safetensors"
    save_file({name: (tensor * 0.5).contiguous() for name, tensor in loaded.weights.items()}, file)
    return file


@pytest.fixture(scope="module")
def exports(tiny_source, tuned, tmp_path_factory):
    """Three exports in one go: packed and tuned, zeroed sub-layers, remote code; and the same again."""
    folder = tmp_path_factory.mktemp("exports")
    timings = str(folder / "run" / "exports")
    (folder / "run").mkdir()
    requests = {
        "packed": request(tiny_source, "fa.b", mapping_module=str(tuned), timings=timings),
        "zeroed": request(tiny_source, ".a..", form="transformers", timings=timings),
        "remote": request(tiny_source, "pavbb", timings=timings),
        "sparse": request(tiny_source, "{w50}..b.", mapping_module=str(tuned), timings=timings),
    }
    export(requests, folder / "first", say=silent)
    export({name: requests[name] for name in ("packed", "remote")}, folder / "second", say=silent)
    return folder


def record(folder):
    return json.loads((folder / "plan.json").read_text())


@pytest.mark.slow
class TestFolder:
    @pytest.mark.parametrize("name", ["packed", "zeroed", "remote", "sparse"])
    def test_has_what_hugging_face_users_expect(self, exports, name):
        more = {f"{module}.py" for module in BUNDLE} if name == "remote" else set()
        assert {path.name for path in (exports / "first" / name).iterdir()} == FILES | more

    def test_exporting_twice_gives_identical_bytes(self, exports):
        first, second = (
            {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
            for root in (exports / "first", exports / "second")
        )
        assert len(second) == 2 * len(FILES) + len(BUNDLE)
        assert second.items() <= first.items()

    def test_names_no_path_of_this_machine(self, exports, tmp_path_factory):
        root = str(tmp_path_factory.getbasetemp())
        for path in (exports / "first").rglob("*"):
            assert not path.is_file() or root.encode() not in path.read_bytes(), path

    def test_record_says_what_was_done_and_measured(self, exports):
        packed, zeroed, remote = (record(exports / "first" / name) for name in ("packed", "zeroed", "remote"))
        assert [each["badge"] for each in (packed, zeroed, remote)] == [
            "transformers", "transformers (zeroed sub-layers)", "remote code",
        ]  # fmt: skip
        assert packed["layers"] == [
            {"attention_of_block": 0, "ffn_of_block": 1},
            {"attention_of_block": 2, "ffn_of_block": 2},
        ]
        assert packed["kept_blocks"] == [0, 1, 2]
        assert Plan.from_json(packed["plan_json"]).digest == packed["digest"]
        for each in (packed, zeroed, remote):
            assert each["checked"]["logits_bit_equal"]
            assert each["checked"]["accuracy"] == each["checked"]["in_search_accuracy"]
            assert each["checked"]["questions"] == 24
            assert len(each["measured"]["seconds"]) == 2
        for each in (packed, remote):
            sizes, flops = each["measured"]["parameters"], each["measured"]["flops_of_one_answer"]
            assert 4 * sizes["exported"] == each["costs"]["parameter_bytes"]
            assert flops["exported"] < flops["dense"]
        sparse = record(exports / "first" / "sparse")
        assert sparse["badges"] == ["transformers", "sparse kernels needed"]
        assert sparse["checked"]["logits_bit_equal"]
        assert sparse["costs"]["sparse_flops"] < sparse["costs"]["flops"]
        assert zeroed["measured"]["parameters"]["exported"] == zeroed["measured"]["parameters"]["dense"]

    def test_card_says_how_to_load_and_where_it_runs(self, exports):
        cards = {name: (exports / "first" / name / "README.md").read_text() for name in ("packed", "zeroed", "remote")}
        assert "trust_remote_code=True" in cards["remote"]
        assert "load_exported" in cards["remote"]
        assert "trust_remote_code" not in cards["packed"]
        assert "1 of 4 layers have one sub-layer only (FFN 1)" in cards["zeroed"]
        for card in cards.values():
            assert card.startswith("---\nlibrary_name: transformers\n")
            assert "a drawing" in card
            assert "equal to the last bit" in card

    @pytest.mark.parametrize("name", ["packed", "zeroed", "remote"])
    def test_load_exported_gives_the_in_search_model(self, exports, loaded, tuned, name):
        folder = exports / "first" / name
        model, processor = load_exported(folder)
        assert type(processor) is type(loaded.processor)
        dense = {key: tensor.clone() for key, tensor in loaded.weights.items()}
        if name == "packed":
            put_state(loaded.weights, load_file(tuned))
        try:
            with torch.no_grad(), apply_plan(loaded.model, Plan.parse(record(folder)["plan"])):
                want = loaded.model(**inputs()).logits
        finally:
            put_state(loaded.weights, dense)
        with torch.no_grad():
            assert torch.equal(model(**inputs()).logits, want)


def test_load_exported_refuses_other_folders(tiny_folder):
    with pytest.raises(ExportError, match=r"must have a plan\.json"):
        load_exported(tiny_folder)


class TestMismatch:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("break_it", "told"),
        [
            (lambda model: model.model.language_model.layers[1].mlp.down_proj.weight.data.mul_(1.001), "logits differ"),
            slow((lambda model: setattr(model.config.text_config, "vocab_size", 5), "fresh process")),
        ],
        ids=["weights", "config"],
    )
    def test_fails_loudly_and_leaves_nothing(self, tiny_source, tmp_path, monkeypatch, break_it, told):
        build = writing.build

        def broken(*given):
            model = build(*given)
            model.load_state_dict({name: tensor.clone() for name, tensor in model.state_dict().items()}, assign=True)
            break_it(model)
            return model

        monkeypatch.setattr(writing, "build", broken)
        with pytest.raises(ExportError, match=told):
            export({".": request(tiny_source, "..b.")}, tmp_path / "model", say=silent)
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(is_torchvision_available(), reason="then the processor is whole")
    def test_a_processor_without_its_video_part(self, tmp_path):
        source = ModelSource(name=save_hub(tmp_path / "base", "qwen2_vl"), device="cpu")
        with pytest.raises(ExportError, match=r"must be complete, got Qwen2VLProcessor .* install torchvision"):
            export({".": request(source, "..b.")}, tmp_path / "model", say=silent)
        assert [path.name for path in tmp_path.iterdir()] == ["base"]

    @pytest.mark.slow
    def test_a_processor_that_reads_prompts_otherwise(self, tiny_source, tmp_path, monkeypatch):
        save = LlavaProcessor.save_pretrained

        def other(self, place, **options):
            save(self, place, **options)
            template = Path(place) / "chat_template.jinja"
            template.write_text(template.read_text().replace("ASSISTANT:", "USER:"))

        monkeypatch.setattr(LlavaProcessor, "save_pretrained", other)
        with pytest.raises(ExportError, match="other token ids"):
            export({".": request(tiny_source, "..b.")}, tmp_path / "model", say=silent)
        assert not list(tmp_path.iterdir())


class TestRefusals:
    def test_before_anything_is_loaded(self, tiny_source, tmp_path, monkeypatch):
        monkeypatch.setattr(writing, "Session", None)
        for made, told in (
            (request(tiny_source, "....", fingerprints={"model": "0123"}), "the model must be that of the search"),
            (request(tiny_source, "....", fingerprints={"data set": "0123"}), "data set must be that of the search"),
            (request(tiny_source, "....."), "4, got 5"),
            (request(tiny_source, "p...", form="transformers"), "use --format auto"),
        ):
            with pytest.raises(ValueError, match=told):
                export({".": made}, tmp_path / "model", say=silent)
        (tmp_path / "model").mkdir()
        with pytest.raises(ExportError, match="--force"):
            export({".": request(tiny_source, "....")}, tmp_path / "model", say=silent)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_another_dtype(tiny_source, tmp_path):
    export({".": request(tiny_source, "fa.b", dtype="bfloat16", questions=6)}, tmp_path / "model", say=silent)
    made = record(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    assert made["measured"]["dtype"] == "bfloat16"
    assert made["checked"]["logits_bit_equal"]
    assert made["checked"]["questions"] == 6
    size = (tmp_path / "model" / "model.safetensors").stat().st_size
    assert size < 2.5 * made["measured"]["parameters"]["exported"]


def test_routes_and_requests_need_no_torch():
    modules = ", ".join(f"workers.export.{name}" for name in ("route", "request", "folder", "timings"))
    code = f"import sys, {modules}\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_low_rank_adapters_are_merged(tiny_source, tmp_path):
    """The folder has the matrices of the base model's class; its logits are those of the adapted model."""
    source = tiny_source.model_copy(update={"trainable": "lora:r=2"})
    adapted = load_model(source)
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(each.shape, generator=generator) * 0.3 for name, each in adapted.weights.items()}
    save_file(state, tmp_path / "tuned.safetensors")
    export(
        {".": request(source, "fa.b", mapping_module=str(tmp_path / "tuned.safetensors"))},
        tmp_path / "model",
        say=silent,
    )
    model, _ = load_exported(tmp_path / "model")
    assert not [name for name in model.state_dict() if "lora" in name]
    put_state(adapted.weights, state)
    with torch.no_grad(), apply_plan(adapted.model, Plan.parse("fa.b")):
        want = adapted.model(**inputs()).logits
    got = model(**inputs()).logits
    torch.testing.assert_close(got, want, atol=1e-4 * float(want.abs().max()), rtol=0)
    assert not torch.equal(got, load_exported_dense(tiny_source))


def load_exported_dense(source):
    with torch.no_grad(), apply_plan(load_model(source).model, Plan.parse("fa.b")) as model:
        return model(**inputs()).logits
