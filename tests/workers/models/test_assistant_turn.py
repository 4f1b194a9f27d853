"""Answers are scored, tuned on and counted as the chat template of the model writes them."""

from functools import cache
from math import exp

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.workers.hub import TABLE_KINDS, hub_model, word_tokenizer
from tests.workers.hub_more import GOT_OCR2
from tests.workers.models.chat_templates import IDEFICS, REAL
from workers.data.sample import Sample
from workers.evaluation.evaluate import evaluate
from workers.evaluation.likelihood import score_choices
from workers.inference.packed_split import pack_split
from workers.inference.plain_split import PlainSplit
from workers.models.chat_template import PromptEncoder, read_prompter
from workers.models.load_model import assemble
from workers.models.processor import images_only
from workers.models.prompt_forms import PROMPT_FORMS, conversation
from workers.sources import ModelSource

KINDS = {**TABLE_KINDS, "got_ocr2": GOT_OCR2}
ASK = "what color ?"
SAID = {"role": "assistant", "content": [{"type": "text", "text": "B"}]}


@cache
def byte_level(specials=(), named=(), spaces="byte-level"):
    """A tokenizer that merges a space with the word behind it, as GPT-2's, or as Llama's."""
    bpe = Tokenizer(models.BPE())
    if spaces == "byte-level":
        bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    else:
        bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace()
    words = "user User USER: what color ? assistant Assistant: ASSISTANT: model Question: Answer: Short answer: A B C"
    bpe.train_from_iterator(
        [words, *(f" {word}" for word in words.split())] * 20,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<pad>", "<s>", "</s>", *specials],
            initial_alphabet=[*pre_tokenizers.ByteLevel.alphabet(), "\n"],
            show_progress=False,
        ),
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={**{f"special_{i}": each for i, each in enumerate(specials)}, **dict(named)},
    )


def real_processor(family):
    kind, (template, specials, _) = KINDS[family], REAL[family]
    tokenizer = byte_level((kind.image, *kind.specials, *specials), tuple(kind.named.items()))
    return kind.processor(tokenizer, template)


def encoder_of(family):
    form = None if KINDS[family].template else PROMPT_FORMS[family]
    return PromptEncoder(real_processor(family), form)


def texts(prompt_encoder, ids):
    return [prompt_encoder.processor.tokenizer.decode([i]) for i in ids]


def image():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))


@pytest.mark.parametrize("family", KINDS)
class TestEveryFamily:
    def test_the_answer_follows_as_the_repositories_of_the_family_write_it(self, family):
        prompt_encoder = encoder_of(family)
        assert (
            texts(prompt_encoder, prompt_encoder.answer_ids("B", prompt_encoder.processor.tokenizer.eos_token_id))
            == REAL[family][2]
        )

    def test_prompt_and_answer_are_the_ids_of_the_whole_conversation(self, family):
        prompt_encoder = encoder_of(family)
        processor, tokenizer = prompt_encoder.processor, prompt_encoder.processor.tokenizer
        prompt = prompt_encoder.inputs([ASK], [image()])["input_ids"][0].tolist()
        answer = list(prompt_encoder.answer_ids("B", tokenizer.eos_token_id))
        if family == "paligemma":
            whole = processor(images=image(), text=prompt_encoder.prompt(ASK), suffix="B", return_tensors="pt")[
                "input_ids"
            ][0]
        elif prompt_encoder.form is not None:
            turn = prompt_encoder.turn
            written = f"{prompt_encoder.prompt(ASK)}{turn.lead}B{turn.end or '</s>'}"
            whole = processor(images=image(), text=written, return_tensors="pt")["input_ids"][0]
        else:
            talk = [*conversation(ASK, image()), SAID]
            options = {"tokenize": True, "return_dict": True, "return_tensors": "pt"}
            whole = processor.apply_chat_template([talk], **options)["input_ids"][0]
        whole = whole.tolist()
        if family == "llava_onevision":  # its turns have a space before the line break, its generation prompt has none
            (space,) = tokenizer(" ").input_ids
            del whole[len(whole) - 1 - whole[::-1].index(space)]
        if (
            "</s>" in tokenizer.decode(answer) and prompt_encoder.form is None
        ):  # the template leaves the end to the model
            answer.pop()
        assert whole[: len(prompt) + len(answer)] == prompt + answer

    def test_without_torch_it_is_the_same(self, family, tmp_path):
        prompt_encoder = encoder_of(family)
        end = prompt_encoder.processor.tokenizer.eos_token_id
        expected = {answer: prompt_encoder.answer_ids(answer, end) for answer in ("B", "what color", "A, B")}
        vars(prompt_encoder.processor).pop("video_processor", None)
        with images_only():
            prompt_encoder.processor.save_pretrained(tmp_path)
        (tmp_path / "config.json").write_text(f'{{"model_type": "{family}"}}')
        prompter = read_prompter(ModelSource(name=str(tmp_path)))
        assert {answer: tuple(prompter.answer_ids(answer)) for answer in expected} == expected


ASSISTANT = "{% if add_generation_prompt %}Assistant:{% endif %}"
USER = "{{ 'User: <image>' + m['content'][1]['text'] + '\n' }}"
THINKING = "{% if add_generation_prompt %}{{ '<turn>model\n<think></think>\n\n' }}{% endif %}"
OTHER = {
    "the answer is taken as a text": (
        "{% for m in messages %}{% if m.role == 'user' %}" + USER + "{% else %}"
        "{{ 'Assistant: ' + m['content'] + '<end>\n' }}{% endif %}{% endfor %}" + ASSISTANT,
        [" B", "<end>"],
    ),
    "a list would be printed": (
        "{% for m in messages %}{% if m.role == 'user' %}" + USER + "{% else %}"
        "Assistant: {{ m['content'] }}<end>{% endif %}{% endfor %}" + ASSISTANT,
        [" B", "<end>"],
    ),
    "there is no turn of the assistant": (
        "{% for m in messages %}" + USER + "{% endfor %}" + ASSISTANT,
        [" B", "</s>"],
    ),
    "it refuses an assistant": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}{% endif %}" + USER
        + "{% endfor %}" + ASSISTANT,
        [" B", "</s>"],
    ),
    "the generation prompt closes a thought": (
        "{% for m in messages %}{{ '<turn>' + m.role + '\n' }}{% for part in m.content %}"
        "{{ part.text if part.type == 'text' else '<image>' }}{% endfor %}{{ '<end>\n' }}{% endfor %}" + THINKING,
        ["B", "<end>"],
    ),
    "the generation prompt ends in a space": (
        "{% for m in messages %}{% if m.role == 'user' %}" + USER + "{% else %}"
        "{{ 'Assistant: ' + m['content'][0]['text'] + '</s>\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
        ["B", "</s>"],
    ),
    "a line break before the end": (
        "{% for m in messages %}{% if m.role == 'user' %}" + USER + "{% else %}"
        "{{ 'Assistant: ' + m['content'][0]['text'] + '\n<end>' }}{% endif %}{% endfor %}" + ASSISTANT,
        [" B", "\n", "<end>"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER)
def test_templates_of_other_kinds(kind):
    template, expected = OTHER[kind]
    tokenizer = byte_level(("<image>", "<turn>", "<end>", "<think>", "</think>"), (("image_token", "<image>"),))
    prompt_encoder = PromptEncoder(TABLE_KINDS["llava"].processor(tokenizer, template), None)
    assert texts(prompt_encoder, prompt_encoder.answer_ids("B", tokenizer.eos_token_id)) == expected


def test_a_tokenizer_that_begins_every_text_with_a_space_does_not_double_it():
    tokenizer = byte_level(("<image>", "<end>"), (("image_token", "<image>"),), "metaspace")
    for prompt, tokens in (("Assistant:", ["▁B", "<end>"]), ("Assistant: ", ["B", "<end>"])):
        template = (
            "{% for m in messages %}{{ m.role }}{% if m.role == 'assistant' %}Assistant: {{ m.content[0].text }}<end>"
            "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant" + prompt + "' }}{% endif %}"
        )
        prompt_encoder = PromptEncoder(TABLE_KINDS["llava"].processor(tokenizer, template), None)
        assert tokenizer.convert_ids_to_tokens(prompt_encoder.answer_ids("B", 2)) == tokens


def test_space_around_an_answer_is_not_part_of_it():
    prompt_encoder = encoder_of("idefics3")
    assert prompt_encoder.answer_ids("  B ", 2) == prompt_encoder.answer_ids("B", 2)


@pytest.fixture(scope="module", params=["idefics3", "llava"])
def loaded(request):
    kind = TABLE_KINDS[request.param]
    tokenizer = word_tokenizer((kind.image, *kind.specials, *(() if kind.specials else ("<end_of_utterance>",))))
    processor = kind.processor(tokenizer, IDEFICS.replace("capitalize", "lower").replace("Assistant:", "assistant:"))
    return assemble(hub_model(request.param), PromptEncoder(processor, None))


def reference(loaded, sample, answer):
    """Log-probabilities of the tokens by which the whole conversation goes on, in one pass of the model."""
    processor = loaded.processor
    talk = conversation(sample.question, sample.image)
    talk.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    inputs = processor.apply_chat_template([talk], tokenize=True, return_dict=True, return_tensors="pt")
    ids = inputs["input_ids"][0].tolist()
    end = processor.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
    last = len(ids) - 1 - ids[::-1].index(end)
    first = last - len(answer.split())
    with torch.no_grad():
        spread = loaded.model(**inputs).logits[0].log_softmax(-1)
    return [spread[place - 1, ids[place]].item() for place in range(first, last + 1)]


@pytest.mark.parametrize("make", [pack_split, PlainSplit])
def test_likelihoods_are_those_of_the_whole_conversation(loaded, make):
    samples = [
        Sample(image(), "0", "what is the color ?", ("blue",), "all", ("red", "blue", "one two")),
        Sample(image(), "0", "is the color red ?", ("one two",), "all", ("one two", "red")),
    ]
    try:
        prepared = make(loaded, samples)
    except ValueError:
        pytest.skip("not packed")
    answers, values = score_choices(loaded, prepared, "loss", 2)
    expected = [reference(loaded, each, each.answers[0]) for each in samples]
    assert values == pytest.approx([exp(sum(own) / len(own)) for own in expected], rel=1e-4)
    answers, _ = score_choices(loaded, prepared, "choice", 2)
    for sample, answer in zip(samples, answers, strict=True):
        scored = {text: sum(reference(loaded, sample, text)[:-1]) / len(text) for text in sample.choices}
        assert answer == max(scored, key=scored.get)


def test_generation_ends_with_the_turn(loaded):
    end = loaded.processor.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
    assert loaded.end_tokens == (end, 2)


def test_a_header_that_the_model_writes_is_no_part_of_its_answer():
    """A template that ignores `add_generation_prompt`: the model begins its turn itself."""
    tokenizer = word_tokenizer((TABLE_KINDS["llava"].image,))
    template = (
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {% for part in m.content %}{% if part.type == 'image' %}"
    )
    template += "<image> {% else %}{{ part.text }} {% endif %}{% endfor %}{% endfor %}"
    processor = TABLE_KINDS["llava"].processor(tokenizer, template)
    loaded = assemble(hub_model("llava"), PromptEncoder(processor, None))
    sample = Sample(Image.new("RGB", (32, 32)), "0", ASK, ("red",), "all")
    ids = [[*loaded.prompt_encoder.encode(text), 2] for text in ("assistant: red", "red")]

    class Said:
        samples = (sample, sample)

        def answer_ids(self, loaded, questions):
            return ids[:questions]

    assert list(evaluate(loaded, Said(), "exact_match").scores) == [1, 1]
    assert loaded.answer_tokens("red")[:-1] == tuple(ids[0][:-1])
