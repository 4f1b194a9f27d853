"""Conversations of LLaVA and TRL as questions, or refused."""

from base64 import b64encode

import datasets
import pytest

from tests.workers.data.small_sets import png, read_search, search_samples
from tests.workers.tiny import picture


def llava(*turns, image="im/1.png"):
    return {"image": image, "conversations": [{"from": role, "value": text} for role, text in turns]}


def trl(*content, images=("im/1.png",), said="red"):
    turns = [
        {"role": "user", "content": list(content) if len(content) > 1 else content[0]},
        {"role": "assistant", "content": said},
    ]
    return {"messages": turns, "images": list(images)}


TWO = ["im/1.png", "im/2.png"]
PART, TEXT = {"type": "image"}, {"type": "text", "text": "what?"}
URL = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + b64encode(png(1)).decode()}}


@pytest.mark.parametrize(
    ("row", "question", "answer", "pictures"),
    [
        (llava(("human", "<image>\nwhat?"), ("gpt", "red")), "what?", "red", [1]),
        (llava(("human", "what?\n<image>"), ("gpt", "red")), "what?", "red", [1]),
        (llava(("human", " what? "), ("gpt", "red")), " what? ", "red", [1]),
        (llava(("human", "<image><image>\nsame?"), ("gpt", "no"), image=TWO), "same?", "no", [1, 2]),
        (trl("what?"), "what?", "red", [1]),
        (trl(PART, TEXT), "what?", "red", [1]),
        (trl(TEXT, PART), "what?", "red", [1]),
        (trl(PART, PART, TEXT, images=("im/2.png", "im/1.png")), "what?", "red", [2, 1]),
        (trl(URL, TEXT, images=()), "what?", "red", [1]),
        (trl({"type": "image", "image": "im/1.png"}, TEXT, images=()), "what?", "red", [1]),
        (trl("what?", said=[{"type": "text", "text": "red"}]), "what?", "red", [1]),
    ],
)  # fmt: skip
def test_one_question(tmp_path, row, question, answer, pictures):
    (sample,) = search_samples(tmp_path, [row])
    assert (sample.question, sample.answers) == (question, (answer,))
    assert [image.tobytes() for image in sample.images] == [picture(n).tobytes() for n in pictures]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (llava(*[("human", "a"), ("gpt", "b")] * 2), "one question and its answer, got 2.*--turns each"),
        (llava(("human", "a")), "a question and its answer, got turns of"),
        (llava(("gpt", "a"), ("human", "b")), "a question and its answer"),
        (llava(("system", "be good"), ("human", "a"), ("gpt", "b")), "remove system turns"),
        (llava(), "a question and its answer"),
        (llava(("human", "is <image> like this?"), ("gpt", "b")), "before or after the text"),
        (llava(("human", "<image><image>same?"), ("gpt", "no")), "as many images as the row has, 1, got 2"),
        ({"image": "im/1.png", "conversations": "human: hi"}, "a list of turns"),
        ({"image": "im/1.png", "conversations": [{"from": "human"}, 3]}, "a turn must be a record"),
        (trl({"type": "audio", "audio": "a.wav"}, TEXT), "of texts and images"),
    ],
)  # fmt: skip
def test_what_is_not_one_question_is_refused(tmp_path, row, said):
    with pytest.raises(ValueError, match=said) as caught:
        search_samples(tmp_path, [row])
    assert "row 0" in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_each_turn_can_be_a_question(tmp_path):
    row = llava(("human", "<image>\nwhat?"), ("gpt", "red"), ("human", "big?"), ("gpt", "no"))
    got = search_samples(tmp_path, [row], turns="each")
    assert [(s.question, s.answers, s.image.tobytes()) for s in got] == [
        ("what?", ("red",), picture(1).tobytes()),
        ("big?", ("no",), picture(1).tobytes()),
    ]


def test_a_question_column_goes_before_a_conversation(tmp_path):
    row = {**llava(("human", "a"), ("gpt", "b")), "question": "what?", "answer": "red"}
    (sample,) = search_samples(tmp_path, [row])
    assert sample.question == "what?"


def test_messages_with_images_as_a_typed_table(tmp_path):
    rows = {
        "images": [[picture(1)]],
        "messages": [
            [
                {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "what?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
            ]
        ],
    }
    table = datasets.Dataset.from_dict(rows).cast_column("images", datasets.List(datasets.Image()))
    datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(tmp_path / "set"))
    (sample,) = read_search(tmp_path / "set").samples
    assert (sample.question, sample.answers, sample.image.tobytes()) == ("what?", ("red",), picture(1).tobytes())
