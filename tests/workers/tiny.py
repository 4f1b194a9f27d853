"""Tiny but real models and processors, built in the test."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from workers.data.sample import Sample

NUM_BLOCKS = 4
IMAGE_SIZE, PATCH_SIZE = 16, 8
NUM_VISUAL = (IMAGE_SIZE // PATCH_SIZE) ** 2
WORDS = ["<pad>", "<s>", "</s>", "<unk>", "<image>", "USER:", "ASSISTANT:"]
WORDS += ["what", "is", "the", "color", "digit", "?", "red", "blue", "one", "two"]
IMAGE_TOKEN = WORDS.index("<image>")
TEMPLATE = """\
{{ bos_token }}
{%- for message in messages %}
    {% if true %}
{{ message['role'] | upper }}: {% for part in message['content'] %}
        {% if part['type'] == 'image' %}
<image> {% else %}
{{ part['text'] }} {% endif %}
    {% endfor %}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}
ASSISTANT:
{%- endif %}"""


def tiny_config(num_blocks: int = NUM_BLOCKS, attn_implementation: str = "eager") -> LlavaConfig:
    text = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=num_blocks,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=10,
        max_position_embeddings=128,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    vision = CLIPVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=3,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
    )
    config = LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=IMAGE_TOKEN,
        image_seq_length=NUM_VISUAL,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config._attn_implementation = attn_implementation
    return config


def tiny_model(seed: int = 0, num_blocks: int = NUM_BLOCKS, attn: str = "eager") -> LlavaForConditionalGeneration:
    """Random weights, larger than usual so that every sub-layer matters, norm weights and biases included."""
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration._from_config(
        tiny_config(num_blocks), attn_implementation=attn, dtype=torch.float32
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)
            elif "norm" in name and name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(std=0.3)
    return model.eval().requires_grad_(False)


def random_llava(config: LlavaConfig, seed: int = 3) -> LlavaForConditionalGeneration:
    """Return a model with weights large enough, and norms far enough from 1, that every one of them shows in logits."""
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.uniform_(0.5, 1.5) if "norm" in name else parameter.normal_(std=0.25)
    return model


def tiny_processor(template_adds: bool = True, tokenizer_adds: bool = False) -> LlavaProcessor:
    """The first token comes from the chat template, or from the tokenizer as in LLaVA-1.5, or both would add it."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if tokenizer_adds:
        tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        additional_special_tokens=["<image>"],
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    images = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=wrapped,
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE if template_adds else TEMPLATE.removeprefix("{{ bos_token }}"),
        num_additional_image_tokens=1,
    )


def save_tiny(folder: Path, seed: int = 0) -> Path:
    """A local model folder as a user would have one."""
    tiny_model(seed).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


def picture(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def inputs(
    lengths: tuple[int, ...] = (3, 6), seed: int = 0, images: tuple[int, ...] | None = None, side: str = "left"
) -> dict[str, torch.Tensor]:
    """A padded batch: bos, image tokens, `lengths` text tokens per row; random pixels. `images` per row, else 1."""
    generator = torch.Generator().manual_seed(seed)
    images = images or (1,) * len(lengths)
    rows = []
    for length, count in zip(lengths, images, strict=True):
        text = torch.randint(IMAGE_TOKEN + 1, len(WORDS), (length,), generator=generator)
        # text between the images, as in a prompt that speaks of each
        picture = torch.tensor([IMAGE_TOKEN] * NUM_VISUAL + [IMAGE_TOKEN + 1])
        rows.append(torch.cat([torch.tensor([1]), picture.repeat(count)[: count * (NUM_VISUAL + 1) - 1], text]))
    longest = max(map(len, rows))
    places = [slice(longest - len(row), None) if side == "left" else slice(0, len(row)) for row in rows]
    ids, mask = torch.zeros(2, len(rows), longest, dtype=torch.long)
    for index, (row, place) in enumerate(zip(rows, places, strict=True)):
        ids[index, place], mask[index, place] = row, 1
    batch = {"input_ids": ids, "attention_mask": mask}
    if sum(images):
        batch["pixel_values"] = torch.randn(sum(images), 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    return batch


QUESTIONS = (("what is the color ?", "red"), ("what is the digit ?", "one two"), ("is the color red ?", "blue red one"))


def tiny_samples(split: str) -> list[Sample]:
    """A data set in the vocabulary of the tiny model: three kinds of questions on each of eight images."""
    first = 100 * ("train", "tune", "search", "test").index(split)
    return [
        Sample(picture(first + image), f"{split}-{image}", question, (answer,), f"kind-{kind}")
        for image in range(8)
        for kind, (question, answer) in enumerate(QUESTIONS)
    ]
