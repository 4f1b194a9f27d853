"""The roles of columns, and the sample of a row."""

import datasets
import pytest

from workers.data.columns import find_columns
from workers.data.sample import DataTask
from workers.sources import DataSource

IMAGE, TEXT = datasets.Image(), datasets.Value("string")


def find(features, **told):
    return find_columns(DataSource(name="my/data", **told), features)


@pytest.mark.parametrize(
    ("features", "task", "names"),
    [
        (("image", "question", "answers"), DataTask.QUESTIONS, {"question": "question", "answers": "answers"}),
        (
            ("image", "query", "label", "type"),
            DataTask.QUESTIONS,
            {"question": "query", "answers": "label", "kind": "type"},
        ),
        (("image", "caption"), DataTask.CAPTIONS, {"answers": "caption"}),
        (("image", "text", "img_id"), DataTask.CAPTIONS, {"answers": "text", "image_id": "img_id"}),
        (
            ("question", "options", "image", "answer"),
            DataTask.CHOICES,
            {"question": "question", "choices": "options", "answers": "answer"},
        ),
    ],
)
def test_the_task_follows_from_the_columns(features, task, names):
    found = find({name: IMAGE if name == "image" else TEXT for name in features})
    assert (found.task, found.names) == (task, {"image": "image", **names})


def test_what_is_told_goes_before_what_is_usual():
    features = {"image": IMAGE, "photo": IMAGE, "question": TEXT, "question_en": TEXT, "answer": TEXT, "said": TEXT}
    found = find(features, image_column="photo", question_column="question_en", answer_column="said")
    assert found.names == {"image": "photo", "question": "question_en", "answers": "said"}


def test_a_column_of_any_name_makes_captions_when_told():
    assert find({"image": IMAGE, "alt": TEXT}, answer_column="alt").task is DataTask.CAPTIONS


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ({"question_column": "questoin"}, "unknown question column of 'my/data' 'questoin' (did you mean 'question'?)"),
        ({"image_column": "picture"}, "known are image, question, answer; set --image-column"),
        ({"choices_column": "options"}, "unknown choices column"),
        ({"prompt": "Say something."}, "the prompt must have {question}, got 'Say something.'"),
    ],
)
def test_wrong_names_are_one_line(told, complaint):
    with pytest.raises(ValueError) as caught:
        find({"image": IMAGE, "question": TEXT, "answer": TEXT}, **told)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_caption_prompt_can_hold_no_question():
    with pytest.raises(ValueError, match=r"can't have \{question\}"):
        find({"image": IMAGE, "caption": TEXT}, prompt="{question} Short.")


class TestPrompts:
    row = {"question": "what {choices} ?", "choices": ["red", "blue"], "answer": 1, "caption": "a cat"}  # noqa: RUF012

    def test_questions(self):
        features = {"image": IMAGE, "question": TEXT, "answer": TEXT}
        assert find(features).question(self.row, ()) == "what {choices} ?"
        assert find(features, prompt="Q: {question}\nA:").question(self.row, ()) == "Q: what {choices} ?\nA:"

    def test_captions(self):
        features = {"image": IMAGE, "caption": TEXT}
        assert find(features).question(self.row, ()) == "Provide a one-sentence caption for the provided image."
        assert find(features, prompt="Describe it.").question(self.row, ()) == "Describe it."

    def test_choices_as_letters_are_listed(self):
        found = find({"image": IMAGE, "question": TEXT, "choices": TEXT, "answer": TEXT})
        choices = found.choices(self.row)
        assert found.question(self.row, choices).startswith("what {choices} ?\nA. red\nB. blue\nAnswer with")
        assert (found.answers(self.row, choices), found.candidates(choices)) == (("B",), ("A", "B"))

    def test_choices_as_text_are_not(self):
        found = find({"image": IMAGE, "question": TEXT, "choices": TEXT, "answer": TEXT}, choices_as="text")
        choices = found.choices(self.row)
        assert found.question(self.row, choices) == "what {choices} ?"
        assert (found.answers(self.row, choices), found.candidates(choices)) == (("blue",), ("red", "blue"))


@pytest.mark.parametrize("value", ["['red', 'blue']", ["red", "blue"], [" red", "blue "]])
def test_choices_of_every_form(value):
    found = find({"image": IMAGE, "question": TEXT, "choices": TEXT, "answer": TEXT})
    assert found.choices({"choices": value}) == ("red", "blue")


@pytest.mark.parametrize("value", ["red", ["red"], None, "[", [str(i) for i in range(27)]])
def test_what_is_no_choice(value):
    found = find({"image": IMAGE, "question": TEXT, "choices": TEXT, "answer": TEXT})
    with pytest.raises(ValueError, match="choices must be a list of 2 to 26 texts"):
        found.choices({"choices": value})


@pytest.mark.parametrize(
    ("value", "answers"),
    [
        (["a cat", "a dog"], ("a cat", "a dog")),
        ([{"raw": "a cat"}, {"raw": "a dog"}], ("a cat", "a dog")),
        ({"text": ["a cat", "a dog"]}, ("a cat", "a dog")),
        (["", None, "a cat"], ("a cat",)),
        ("", ()),
        (None, ()),
    ],
)
def test_captions_of_every_form(value, answers):
    assert find({"image": IMAGE, "captions": TEXT}).answers({"captions": value}, ()) == answers
