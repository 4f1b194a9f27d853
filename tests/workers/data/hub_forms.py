"""The columns of public data sets, as their hub repositories have them, with what an annotator reads in each row.

A form is two rows. `IMAGE` stands for a column of the type `datasets.Image`; `want` is (question, first accepted
answer, number of images), or the words of the refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets

from tests.workers.tiny import picture

Row = Mapping[str, Any]


class IMAGE(int):
    """A picture by its number, stored as a column of images; `[IMAGE(1)]` as a list of them."""


@dataclass(frozen=True)
class Form:
    """A data set in the columns of its hub repository."""

    rows: tuple[Row, ...]
    want: tuple[tuple[str, str, int], ...] | str
    """Per row; or the words of the refusal."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Options of the user."""


PEOPLE = ["net", "net", "net", "netting", "net", "net", "mesh", "net", "net", "net"]
VQA_ANSWERS = [{"answer": each, "answer_confidence": "yes", "answer_id": n} for n, each in enumerate(PEOPLE, 1)]
GIVEN = {"prompt": "{question}"}
"""The options are not part of the question that is compared."""


def _mmmu(number: int, answer: str, options: str, kind: str = "multiple-choice", second: bool = False) -> Row:
    images = {f"image_{n}": None for n in range(3, 8)}
    return {
        "id": f"validation_Art_{number}",
        "question": f"What is shown in <image 1>? ({number})",
        "options": options,
        "explanation": "",
        "image_1": IMAGE(number),
        "image_2": IMAGE(number + 1) if second else None,
        **images,
        "img_type": "['Paintings']",
        "answer": answer,
        "topic_difficulty": "Easy",
        "question_type": kind,
        "subfield": "Drawing",
    }


def _science(number: int, choices: list[str], answer: int) -> Row:
    return {
        "image": IMAGE(number),
        "question": f"Which is it? {number}",
        "choices": choices,
        "answer": answer,
        "hint": "" if number == 0 else "Look at the label.",
        "task": "closed choice",
        "grade": "grade2",
        "subject": "natural science",
        "topic": "biology",
        "lecture": "",
        "solution": "A label: B.",
    }


def _conversation(*turns: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[n % 2], "value": each} for n, each in enumerate(turns)]


def _mathvista(number: int, choices: list[str] | None, answer: str, kind: str) -> Row:
    return {
        "pid": str(number),
        "question": f"How many? {number}",
        "image": f"images/{number}.jpg",
        "decoded_image": IMAGE(number),
        "choices": choices,
        "unit": None,
        "precision": 1.0,
        "answer": answer,
        "question_type": kind,
        "answer_type": "text",
        "metadata": {"category": "vqa", "skills": ["statistical reasoning"]},
        "query": f"Hint: Please answer.\nQuestion: How many? {number}",
    }


def _mmbench(number: int, answer: str, last: str) -> Row:
    return {
        "index": number,
        "question": f"Which? {number}",
        "hint": "nan",
        "answer": answer,
        "A": "cat",
        "B": "dog",
        "C": last,
        "D": "nan",
        "category": "identity_reasoning",
        "image": IMAGE(number),
        "source": "mmbench",
        "L2-category": "attribute_reasoning",
        "comment": "nan",
        "split": "dev",
    }


def _asked(number: int, answer: Any, **more: Any) -> Row:
    return {"image": IMAGE(number), "question": f"What is it? {number}", "answer": answer, **more}


def _want(*answers: str, question: str = "What is it? {}", images: int = 1) -> tuple[tuple[str, str, int], ...]:
    return tuple((question.format(number), answer, images) for number, answer in enumerate(answers))


FORMS = {
    "ScienceQA": Form(
        (_science(0, ["yes", "no"], 1), _science(1, ["a", "b", "c"], 0)),
        (("Which is it? 0", "no", 1), ("Context: Look at the label.\nWhich is it? 1", "a", 1)),
        {"choices_as": "text"},
    ),
    "ScienceQA, without its hints": Form(
        (_science(0, ["yes", "no"], 1), _science(1, ["a", "b", "c"], 0)),
        _want("no", "a", question="Which is it? {}"),
        {"choices_as": "text", "context_column": "none"},
    ),
    "a context that is no text": Form(
        tuple(_asked(n, "red", context={"table": ["a"]}) for n in range(2)),
        "the context in column 'context' can't be used",
    ),
    "ScienceQA, rows without a picture": Form(
        ({**_science(0, ["yes", "no"], 1), "image": None}, _science(1, ["a", "b", "c"], 0)),
        "1 of 2 rows of 'train' of .* have no readable image",
    ),
    "MMMU": Form(
        (_mmmu(0, "B", "['a cat', \"dog's\"]"), _mmmu(1, "A", "['3', '4', '5']", second=True)),
        (("What is shown in <image 1>? (0)", "dog's", 1), ("What is shown in <image 1>? (1)", "3", 2)),
        {"choices_as": "text"},
    ),
    "MMMU, open questions among choices": Form(
        (_mmmu(0, "B", "['a', 'b']"), _mmmu(1, "8.5", "[]", "open")), "choices must be a list of 2 to 26 texts"
    ),
    "MMMU, open questions alone": Form(
        (_mmmu(0, "12.4", "[]", "open"), _mmmu(1, "8.5", "[]", "open")),
        _want("12.4", "8.5", question="What is shown in <image 1>? ({})"),
        {"choices_column": "none"},
    ),
    "MMMU-Pro, vision": Form(
        ({"id": "t1", "image": IMAGE(0), "options": "['a', 'b']", "answer": "A", "subject": "Art"},) * 2,
        "column of questions",
    ),
    "CMMMU": Form(
        tuple(
            {"id": n, "type": "选择", "question": f"问题 {n}", "option1": "甲", "option2": "乙", "option3": "丙"}
            | {"option4": "", "image_1": IMAGE(n), "answer": "BC"[n]}
            for n in range(2)
        ),
        (("问题 0", "乙", 1), ("问题 1", "丙", 1)),
        {"choices_as": "text"},
    ),
    "GQA": Form(
        (_asked(0, "yes", fullAnswer="Yes, it is."), _asked(1, "left", fullAnswer="Left.")), _want("yes", "left")
    ),
    "GQA, questions without pictures": Form(
        ({"id": "1", "imageId": "n1", "question": "Is it?", "answer": "yes"},) * 2, "column of images"
    ),
    "TextVQA": Form(
        tuple(
            {"image_id": f"i{n}", "question_id": n, "question": f"What is it? {n}", "question_tokens": ["what"]}
            | {"image": IMAGE(n), "image_width": 64, "answers": PEOPLE, "image_classes": ["Sign"], "ocr_tokens": ["x"]}
            for n in range(2)
        ),
        _want("net", "net"),
    ),
    "DocVQA": Form(
        tuple(
            {"questionId": str(n), "question": f"What is it? {n}", "question_types": ["form"], "image": IMAGE(n)}
            | {"docId": n, "answers": ["$1,250.00", "1,250"], "data_split": "val"}
            for n in range(2)
        ),
        _want("$1,250.00", "$1,250.00"),
    ),
    "InfographicVQA": Form(
        tuple(
            {"questionId": str(n), "question": f"What is it? {n}", "answers": ["51%"], "image": IMAGE(n)}
            | {"answer_type": ["single span", "list"], "operation/reasoning": [], "ocr": "{}", "image_url": "x"}
            for n in range(2)
        ),
        _want("51%", "51%"),
    ),
    "ChartQA, lmms-lab": Form(
        tuple({"type": "human_test", **_asked(n, ["0.57", "No"][n])} for n in range(2)), _want("0.57", "No")
    ),
    "ChartQA, HuggingFaceM4": Form(
        tuple(
            {"image": IMAGE(n), "query": f"What is it? {n}", "label": ["14"], "human_or_machine": n} for n in range(2)
        ),
        _want("14", "14"),
    ),
    "AI2D": Form(
        tuple(_asked(n, str(n + 2), options=["1", "2", "3", "4"] if n else ["a", "b", "c", "d"]) for n in range(2)),
        _want("c", "4"),
        {"choices_as": "text"},
    ),
    "POPE": Form(
        tuple(_asked(n, ["yes", "no"][n], question_id=str(n), image_source="x", category="random") for n in range(2)),
        _want("yes", "no"),
    ),
    "MME": Form(tuple(_asked(n, "Yes", question_id="x.png", category="OCR") for n in range(2)), _want("Yes", "Yes")),
    "VQAv2": Form(
        tuple(
            {"question_type": "what is", "multiple_choice_answer": "mesh", "answers": VQA_ANSWERS, "image_id": 9 + n}
            | {"answer_type": "other", "question_id": n, "question": f"What is it? {n}", "image": IMAGE(n)}
            for n in range(2)
        ),
        _want("net", "net"),
    ),
    "VQAv2, test": Form(
        tuple({"answers": None, "question": f"What is it? {n}", "image": IMAGE(n)} for n in range(2)),
        "every row must have an answer",
    ),
    "OK-VQA": Form(
        tuple(
            {"question_id": str(n), "image": IMAGE(n), "question": f"What is it? {n}", "answers": PEOPLE}
            | {"question_type": "one", "answer_type": "other"}
            for n in range(2)
        ),
        _want("net", "net"),
    ),
    "A-OKVQA": Form(
        tuple(
            {"image": IMAGE(n), "question_id": str(n), "question": f"What is it? {n}", "choices": ["x", "y", "z", "w"]}
            | {"correct_choice_idx": n + 2, "direct_answers": "['z', 'q']", "rationales": ["because"]}
            for n in range(2)
        ),
        _want("z", "w"),
        {"choices_as": "text"},
    ),
    "SEED-Bench": Form(
        tuple(
            {"answer": "BD"[n], "choice_a": "One", "choice_b": "Two", "choice_c": "3", "choice_d": "4"}
            | {"data_id": "1_2", "data_type": "image", "question": f"What is it? {n}", "image": [IMAGE(n)]}
            | {"question_id": "101", "question_type_id": 1, "segment": [0, 1]}
            for n in range(2)
        ),
        _want("Two", "4"),
        {"choices_as": "text"},
    ),
    "MMBench": Form(
        (_mmbench(0, "B", "nan"), _mmbench(1, "C", "cow")),
        _want("dog", "cow", question="Which? {}"),
        {"choices_as": "text"},
    ),
    "LLaVA-Instruct": Form(
        tuple(
            {"id": str(n), "image": IMAGE(n), "conversations": _conversation(f"What is it? {n}\n<image>", "A cat.")}
            for n in range(2)
        ),
        _want("A cat.", "A cat."),
    ),
    "LLaVA-Instruct, several questions": Form(
        ({"id": "1", "image": IMAGE(0), "conversations": _conversation("<image>\na?", "b", "c?", "d")},) * 2,
        "--turns each",
    ),
    "LLaVA-Instruct, each": Form(
        ({"id": "1", "image": IMAGE(0), "conversations": _conversation("<image>\na?", "b", "c?", "d")},),
        (("a?", "b", 1), ("c?", "d", 1)),
        {"turns": "each"},
    ),
    "ShareGPT4V": Form(
        tuple(
            {"id": str(n), "image": IMAGE(n), "conversations": _conversation(f"<image>\nDescribe. {n}", "It is.")}
            for n in range(2)
        ),
        _want("It is.", "It is.", question="Describe. {}"),
    ),
    "LLaVA-OneVision": Form(
        tuple(
            {
                "id": str(n),
                "image": IMAGE(n),
                "conversations": _conversation(f"<image>Why? {n}", "So."),
                "data_source": "x",
            }
            for n in range(2)
        ),
        _want("So.", "So.", question="Why? {}"),
    ),
    "llava-instruct-mix-vsft": Form(
        tuple(
            {
                "messages": [
                    {
                        "content": [
                            {"index": None, "text": f"Why? {n}\n", "type": "text"},
                            {"index": 0, "text": None, "type": "image"},
                        ],
                        "role": "user",
                    },
                    {"content": [{"index": None, "text": "So.", "type": "text"}], "role": "assistant"},
                ],
                "images": [IMAGE(n)],
            }
            for n in range(2)
        ),
        _want("So.", "So.", question="Why? {}"),
    ),
    "The Cauldron": Form(
        tuple(
            {"images": [IMAGE(n)], "texts": [{"user": f"Why? {n}", "assistant": "So.", "source": "VQAv2"}]}
            for n in range(2)
        ),
        _want("So.", "So.", question="Why? {}"),
    ),
    "The Cauldron, several questions": Form(
        ({"images": [IMAGE(0)], "texts": [{"user": f"q{n}", "assistant": f"a{n}", "source": "x"} for n in range(2)]},),
        (("q0", "a0", 1), ("q1", "a1", 1)),
        {"turns": "each"},
    ),
    "Flickr30k": Form(
        tuple(
            {"image": IMAGE(n), "caption": ["A man.", "A boy."], "sentids": ["0", "1"], "split": "test"}
            | {"img_id": str(n), "filename": f"{n}.jpg"}
            for n in range(2)
        ),
        _want("A man.", "A man.", question="Provide a one-sentence caption for the provided image."),
    ),
    "COCO, Karpathy": Form(
        tuple(
            {
                "image": IMAGE(n),
                "filepath": "COCO_val",
                "filename": f"{n}.jpg",
                "imgid": n,
                "split": "test",
                "cocoid": n,
            }
            | {"sentences": {"tokens": ["a", "man"], "raw": "A man.", "imgid": n, "sentid": n}}
            for n in range(2)
        ),
        _want("A man.", "A man.", question="Provide a one-sentence caption for the provided image."),
    ),
    "VizWiz": Form(
        tuple(
            {"question_id": f"V{n}.jpg", "image": IMAGE(n), "question": f"What is it? {n}", "answers": PEOPLE}
            | {"category": "other"}
            for n in range(2)
        ),
        _want("net", "net"),
    ),
    "MathVista, choices": Form(
        (_mathvista(0, ["3", "5", "7"], "5", "multi_choice"), _mathvista(1, ["Yes", "No"], "No", "multi_choice")),
        _want("5", "No", question="How many? {}"),
        {"choices_as": "text"},
    ),
    "MathVista, mixed": Form(
        (_mathvista(0, ["3", "5"], "5", "multi_choice"), _mathvista(1, None, "1.2", "free_form")),
        "choices must be a list of 2 to 26 texts",
    ),
    "MathVista, answered freely": Form(
        (_mathvista(0, ["3", "5"], "5", "multi_choice"), _mathvista(1, None, "1.2", "free_form")),
        _want("5", "1.2", question="How many? {}"),
        {"choices_column": "none"},
    ),
    "RealWorldQA": Form(tuple(_asked(n, "AB"[n], image_path=f"{n}.webp") for n in range(2)), _want("A", "B")),
    "HallusionBench": Form(
        tuple(
            {"category": "VD", "question": f"Is it? {n}", "gt_answer": str(n), "gt_answer_details": "x"}
            | {"filename": f"./{n}.png", "image": IMAGE(n)}
            for n in range(2)
        ),
        "column of answers",
    ),
    "MMStar": Form(
        tuple(_asked(n, "AB"[n], index=n, category="x", l2_category="y", meta_info={"source": "z"}) for n in range(2)),
        _want("A", "B"),
    ),
    "Winoground": Form(
        ({"id": 0, "image_0": IMAGE(0), "image_1": IMAGE(1), "caption_0": "a on b", "caption_1": "b on a", "tag": "x"},)
        * 2,
        "column of questions",
    ),
    "NLVR2": Form(
        ({"question_id": "1", "question": "Is it?", "answer": "True", "left_image": IMAGE(0), "right_image": IMAGE(1)},)
        * 2,
        "one column of images",
    ),
    "NLVR2, both": Form(
        tuple(
            {"question": f"What is it? {n}", "answer": "True", "left_image": IMAGE(0), "right_image": IMAGE(1)}
            for n in range(2)
        ),
        _want("True", "True", images=2),
        {"image_column": "left_image,right_image"},
    ),
    "VSR": Form(
        (
            {
                "image": IMAGE(0),
                "image_link": "x",
                "caption": "The cat is under the bed.",
                "label": 0,
                "relation": "under",
            },
        )
        * 2,
        "--answer-column",
    ),
    "Hateful Memes": Form(({"id": 1, "img": IMAGE(0), "label": 1, "text": "look"},) * 2, "--answer-column"),
    "V*": Form(
        ({"image": IMAGE(0), "text": "What color? (A) red (B) blue", "category": "x", "label": "A"},) * 2,
        "--answer-column",
    ),
    "V*, named": Form(
        tuple({"image": IMAGE(n), "text": f"What is it? {n}", "category": "x", "label": "A"} for n in range(2)),
        _want("A", "A"),
        {"question_column": "text"},
    ),
    "OCR-VQA": Form(
        ({"image": IMAGE(0), "image_id": "x", "questions": ["a?", "b?"], "answers": ["c", "d"], "title": "t"},) * 2,
        "column of questions",
    ),
    "BLINK": Form(
        tuple(
            {
                "idx": str(n),
                "question": f"What is it? {n}",
                "sub_task": "x",
                "image_1": IMAGE(n),
                "image_2": IMAGE(n + 1),
            }
            | {
                "image_3": None,
                "image_4": None,
                "choices": ["first", "second"],
                "answer": f"({'BA'[n]})",
                "prompt": "p",
            }
            for n in range(2)
        ),
        _want("second", "first", images=2),
        {"choices_as": "text"},
    ),
    "BLINK, test": Form(
        tuple(_asked(n, "hidden", choices=["first", "second"], prompt="p") for n in range(2)),
        "the answer must be one of the choices",
    ),
    "CV-Bench": Form(
        tuple(
            {"idx": n, "type": "2D", "task": "Count", "image": IMAGE(n), "question": f"What is it? {n}"}
            | {"choices": ["2", "1", "0"], "answer": f"({'AC'[n]})", "prompt": "p", "filename": "x"}
            for n in range(2)
        ),
        _want("2", "0"),
        {"choices_as": "text"},
    ),
    "MuirBench": Form(
        tuple(
            {"idx": str(n), "task": "x", "question": f"What is it? {n}", "options": ["u", "v"], "answer": "BA"[n]}
            | {"image_list": [IMAGE(n), IMAGE(n + 1)], "counterpart_idx": ""}
            for n in range(2)
        ),
        _want("v", "u", images=2),
        {"choices_as": "text"},
    ),
    "ICON-QA": Form(
        ({"question": "Which?", "choices": "a,b", "answer": "a", "query_image": IMAGE(0), "choice_image_0": IMAGE(1)},)
        * 2,
        "one column of images",
    ),
    "VQA-RAD": Form(tuple(_asked(n, ["no", "left lung"][n]) for n in range(2)), _want("no", "left lung")),
    "LLaVA-Bench": Form(
        tuple(
            {"question": f"What is it? {n}", "image": IMAGE(n), "caption": "c", "gpt_answer": "g", "category": "conv"}
            for n in range(2)
        ),
        "column of answers",
    ),
    "TallyQA": Form(
        ({"image": IMAGE(0), "qa": [{"question": "How many?", "answer": "3", "is_simple": True}]},) * 2,
        "column of questions",
    ),
    "TextCaps": Form(
        ({"question": "Describe.", "image": IMAGE(0), "caption_str": ["a"], "reference_strs": ["a", "b"]},) * 2,
        "column of answers",
    ),
    "a table of floats": Form(tuple(_asked(n, datasets.Value("float32")) for n in range(2)), _want("0.1", "2.5"), {}),
}
"""Name of a data set -> its form."""
FLOATS = (0.1, 2.5)


def save_form(folder: Path, form: Form) -> str:
    """Save the rows as the parquet file of a hub repository."""
    names = list(dict.fromkeys(name for row in form.rows for name in row))
    table = datasets.Dataset.from_dict(
        {name: [_plain(row[name], n) for n, row in enumerate(form.rows)] for name in names}
    )
    for name in names:
        values = [row[name] for row in form.rows]
        if any(isinstance(each, IMAGE) for each in values):
            table = table.cast_column(name, datasets.Image())
        elif any(isinstance(each, list) and any(isinstance(one, IMAGE) for one in each) for each in values):
            table = table.cast_column(name, datasets.List(datasets.Image()))
        elif isinstance(values[0], datasets.Value):
            table = table.cast_column(name, values[0])
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(str(folder / "form.parquet"))
    return str(folder / "form.parquet")


def _plain(value: Any, row: int) -> Any:
    if isinstance(value, IMAGE):
        out = BytesIO()
        picture(value).save(out, "PNG")
        return {"bytes": out.getvalue(), "path": None}
    if isinstance(value, datasets.Value):
        return FLOATS[row]
    return [_plain(each, row) for each in value] if isinstance(value, list) else value
