"""The front as a table: no number is cut off, however long the plans are."""

from rich.console import Console

from search.console.front_table import front_table


def test_a_long_plan_is_folded_and_all_numbers_are_shown() -> None:
    plan = "(){w2:4/ffn/image}" + "bv{w50,ffn25,h50/text}" * 12
    trial = {
        "number": 7,
        "plan": plan,
        "flops": 12_345_678_901.0,
        "flops_ratio": 0.123,
        "accuracy": 0.456,
        "test": {
            "accuracy": 0.789,
            "seed_spread": 0.004,
            "difference_to_dense": -0.111,
            "difference_interval": (-0.222, -0.033),
        },
        "origin": "additive 12 changes, repaired",
    }
    console = Console(width=120)
    with console.capture() as shown:
        console.print(front_table({"run": "demo", "front": [trial], "dense": None, "floor": None}, 120))
    text = shown.get()
    for number in ("0.123", "0.456", "0.789 ±0.004", "-0.111 [-0.222, -0.033]", "12.3 G"):
        assert number in text
    _, _, header, _, *rows = text.splitlines()
    column = slice(header.index("plan"), header.index("FLOPs") - 2)
    assert "".join(row[column].strip() for row in rows) == plan
