"""Builds the processor of the embedded model: one token per word, a CLIP image processor, a chat template."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

from workers.embedded.digits import CELLS, COLORS, IMAGE_SIZE

PATCH_SIZE = 8
"""Height and width of a patch in pixels."""
SPECIAL = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
IMAGE_TOKEN = "<image>"
WORDS = (
    *("user:", "assistant:", "?", ",", "yes", "no", *map(str, range(10)), *CELLS, *COLORS),
    *(
        "which",
        "digit",
        "digits",
        "color",
        "is",
        "are",
        "the",
        "a",
        "where",
        "how",
        "many",
        "there",
        "larger",
        "or",
    ),
    *("what", "in", "top", "bottom", "row"),
)
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{{- message['role'] | upper }}: {% if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<image>{{ '\\n' }}{%- else -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- ' ' if message['role'] == 'user' else eos_token -}}
{%- endfor -%}
{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}
"""


def build_processor(more_words: Sequence[str] = ()) -> LlavaProcessor:
    """Return a stock LlavaProcessor that `AutoProcessor.from_pretrained` can load after `save_pretrained`.

    Args:
        more_words: further words, whose token ids follow those of the embedded model.
    """
    image_processor = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=_tokenizer(more_words),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy="default",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
        num_additional_image_tokens=1,
    )


def _tokenizer(more_words: Sequence[str]) -> PreTrainedTokenizerFast:
    vocabulary = [*SPECIAL.values(), IMAGE_TOKEN, *WORDS, *more_words]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[?,]"), "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        padding_side="left",
        additional_special_tokens=[IMAGE_TOKEN],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        **SPECIAL,
    )
