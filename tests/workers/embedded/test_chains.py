"""Questions of several steps: every written step is right, and the chain has the stated length."""

import re

import numpy as np
import pytest
from transformers import AutoProcessor

from workers.embedded import NUM_IMAGES, chain_samples, embedded_path, embedded_samples
from workers.embedded.chains import CHAIN_WORDS, CHAINS, STEPS
from workers.embedded.digits import CELLS, draw_scene
from workers.embedded.words import build_processor


def scenes(count=60):
    rng = np.random.default_rng(4)
    return [(draw_scene("tune", rng), rng) for _ in range(count)]


@pytest.mark.parametrize("kind", ["add_2", "add_3", "add_4"])
def test_every_running_sum_is_right(kind):
    for scene, rng in scenes():
        question, answer = CHAINS[kind](scene, rng)
        cells = re.findall(r"[a-z]+-[a-z]+", question)
        assert len(set(cells)) == len(cells) == STEPS[kind] + 1
        first, *steps = re.split(r" \+ ", answer)
        total = int(first)
        assert total == scene.digits[CELLS.index(cells[0])]
        for cell, step in zip(cells[1:], steps, strict=True):
            digit, result = map(int, step.split(" = "))
            assert digit == scene.digits[CELLS.index(cell)]
            total += digit
            assert result == total


def test_rows_are_compared_by_their_sums():
    seen = set()
    for scene, rng in scenes(300):
        _, answer = CHAINS["compare_rows"](scene, rng)
        top, bottom, verdict = re.fullmatch(r"(.*) and (.*) so (\w+)", answer).groups()
        for row, digits in ((top, scene.digits[:2]), (bottom, scene.digits[2:])):
            assert row == f"{digits[0]} + {digits[1]} = {sum(digits)}"
        difference = sum(scene.digits[:2]) - sum(scene.digits[2:])
        assert verdict == ("top" if difference > 0 else "bottom" if difference else "equal")
        seen.add(verdict)
    assert seen == {"top", "bottom", "equal"}


@pytest.mark.parametrize("kind", ["follow_1", "follow_2", "follow_3"])
def test_the_pointer_moves_along_row_or_column(kind):
    for scene, rng in scenes():
        question, answer = CHAINS[kind](scene, rng)
        row, column = question.split()[-1].split("-")
        words = answer.split()
        assert len(words) == 2 * STEPS[kind] == 2 * int(question.split()[1])
        for digit, reached in zip(words[::2], words[1::2], strict=True):
            assert int(digit) == scene.digits[CELLS.index(f"{row}-{column}")]
            if int(digit) % 2:
                row = {"top": "bottom", "bottom": "top"}[row]
            else:
                column = {"left": "right", "right": "left"}[column]
            assert reached == f"{row}-{column}"


def test_the_data_set_has_every_kind_about_every_image_and_the_embedded_one_stays():
    samples = chain_samples("tune")
    assert [sample.kind for sample in samples] == [*CHAINS] * NUM_IMAGES["tune"] and set(CHAINS) == set(STEPS)
    assert {sample.kind for sample in embedded_samples("tune")} & set(CHAINS) == {"digit_at"}


def test_every_word_has_a_token_and_those_of_the_embedded_model_keep_theirs():
    tokenizer = build_processor(CHAIN_WORDS).tokenizer
    before = AutoProcessor.from_pretrained(embedded_path()).tokenizer.get_vocab()
    assert before.items() <= tokenizer.get_vocab().items()
    for sample in chain_samples("tune")[:64]:
        ids = tokenizer(f"{sample.question} {sample.answers[0]}")["input_ids"]
        assert tokenizer.unk_token_id not in ids
        answer = tokenizer(sample.answers[0], add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(answer) == sample.answers[0]
