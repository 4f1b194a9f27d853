"""Training of the pretrained model's mapping module: balanced questions, the losses, and all stages on a tiny model."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import (
    CLIPImageProcessorPil,
    EfficientNetConfig,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from benchmarks.paper.ship_mapping import ship
from tests.workers.hub import TEMPLATE
from tests.workers.zoo import TEXT, fill
from workers.data.sample import Sample
from workers.pretrained.easy_vqa import SHAPES
from workers.pretrained.training import staged
from workers.pretrained.training.balanced_questions import COLORS, facts_of, word_of
from workers.pretrained.training.fit_mapping import fit

FORMS = {False: "is there a {}", True: "is there not a {}"}
ITEMS = {**{color: f"{color} shape" for color in COLORS}, **{shape: shape for shape in SHAPES}}
CLASSES = [(color, shape) for color in COLORS for shape in SHAPES]


def rows(color: str, shape: str) -> list[tuple[str, str, str]]:
    """Return text, answer and kind of all questions about an image."""
    asked = [("what color is the shape", color, "color"), ("what shape is present", shape, "shape")]
    for word, item in ITEMS.items():
        for negated, form in FORMS.items():
            asked.append((form.format(item), "yes" if (word in (color, shape)) != negated else "no", "yes_no"))
    return asked


def samples() -> tuple[list[Sample], list[int]]:
    made = [(number, *row) for number, own in enumerate(CLASSES) for row in rows(*own)]
    image = Image.new("RGB", (4, 4))
    return [Sample(image, str(n), text, (answer,), kind) for n, text, answer, kind in made], [n for n, *_ in made]


def test_every_text_is_as_often_answered_yes_as_no() -> None:
    facts, rng, counts = facts_of(*samples()), np.random.default_rng(0), Counter()
    assert facts.of_image == dict(enumerate(CLASSES))
    for _ in range(60):
        for own in CLASSES:
            for asked in facts.about(own, rng):
                if asked.answer in ("yes", "no"):
                    word, negated = word_of(asked.text)
                    assert asked.answer == ("yes" if (word in own) != negated else "no")
                    counts[asked.text, asked.answer] += 1
    for text in {text for text, _ in counts}:
        yes, no = counts[text, "yes"], counts[text, "no"]
        assert abs(yes - no) < 4 * (yes + no) ** 0.5, text


def test_answers_by_another_rule_are_refused() -> None:
    asked, images = samples()
    wrong = Sample(asked[2].image, "0", asked[2].question, ("no",), "yes_no")
    with pytest.raises(ValueError, match="must follow from"):
        facts_of([*asked[:2], wrong, *asked[3:]], images)


def test_a_fit_reaches_targets_that_features_tell() -> None:
    torch.manual_seed(0)
    means, classes = torch.randn(5, 12), torch.arange(200) % 5
    features = means[classes][:, None] + 0.05 * torch.randn(200, 3, 12)
    targets = torch.randn(5, 4)[classes]
    mapping = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.Linear(32, 4))
    assert fit(mapping, features, targets, steps=600, seed=0) < 0.02
    assert ((mapping(features) - targets[:, None]) ** 2).sum(-1).mean() < 0.02 * targets.var(0).sum()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as `workers.pretrained build` writes it, with a tiny model and 24 images per split."""
    place = tmp_path_factory.mktemp("real")
    texts = [row for own in CLASSES for row in rows(*own)]
    words = dict.fromkeys(word for text, answer, _ in texts for word in [*text.split(), answer])
    vocabulary = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "user:", "assistant:", *words]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(vocabulary)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    vision = EfficientNetConfig(
        image_size=32, width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, hidden_size=128
    )
    text = {**TEXT, "vocab_size": len(vocabulary), "model_type": "llama", "tie_word_embeddings": True}
    model = FastVlmForConditionalGeneration(
        FastVlmConfig(vision_config=vision.to_dict(), text_config=text, image_token_index=4, tie_word_embeddings=True)
    )
    fill(model)
    model.generation_config.update(eos_token_id=2, pad_token_id=0, bos_token_id=1)
    model.save_pretrained(place / "model")
    images = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    LlavaProcessor(images, fast, 32, "full", TEMPLATE.replace("IMAGE", "<image>")).save_pretrained(place / "model")
    write_data(place / "easy-vqa")
    return place


def write_data(place: Path) -> None:
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "tune", "search", "test")):
        (place / split).mkdir(parents=True)
        lines = []
        for image, own in enumerate(CLASSES):
            name = f"{split}/{image}.png"
            Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) + number).save(place / name)
            lines += [
                json.dumps({"image": name, "question": text, "answer": answer, "kind": kind})
                for text, answer, kind in rows(*own)
            ]
        (place / f"{split}.jsonl").write_text("\n".join(lines) + "\n")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path, steps: int) -> list[dict[str, object]]:
    words = ["--folder", folder, "--out", out, "--token-steps", 10, "--fit-steps", 20, "--steps", steps]
    monkeypatch.setattr(sys, "argv", ["staged", *map(str, words)])
    staged.main()
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_stages_are_run_once_and_the_best_mapping_module_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    try:
        first = run(monkeypatch, folder, tmp_path, 2)
        again = run(monkeypatch, folder, tmp_path, 4)[len(first) :]
    finally:
        torch.set_num_threads(threads)
    assert [row.get("stage") for row in first] == [None, "class tokens", "fit", "images", "images"]
    assert [row.get("step") for row in first] == [None, 10, 20, 0, 2]
    assert [row.get("step") for row in again] == [None, 4]
    weights = load_file(tmp_path / "mapping.safetensors")
    assert weights["linear_2.weight"].dtype == torch.float16 and len(weights) == 4


def test_only_a_finished_and_better_mapping_module_is_shipped(tmp_path: Path) -> None:
    shipped, course = tmp_path / "shipped", tmp_path / "course.json"
    course.write_text(json.dumps({"rows": [{"accuracy": 0.8}, {"loss": 1.0}]}))
    (tmp_path / "mapping.safetensors").write_bytes(b"new")
    rows = [{"schedule": {"steps": 9}, "cpu_seconds": 1}, {"stage": "class tokens", "step": 5, "cpu_seconds": 60}]
    for last, accuracy in ((5, 0.9), (9, 0.8), (9, 0.9)):
        row = {"stage": "images", "step": last, "loss": 0.1, "accuracy": accuracy, "cpu_seconds": 180}
        (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, [*rows, row])) + "\n")
        if (last, accuracy) != (9, 0.9):
            with pytest.raises(ValueError, match="shipped module must be"):
                ship(tmp_path, shipped, course)
            assert not shipped.exists()
    assert ship(tmp_path, shipped, course) == 0.9
    assert shipped.read_bytes() == b"new"
    stored = json.loads(course.read_text())
    assert stored["rows"] == [row] and "3 CPU minutes" in stored["said"]
