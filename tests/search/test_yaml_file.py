"""Settings in YAML that expand too far, nest too deep or are no settings are refused immediately."""

import time

import pytest

from search.load_settings import load_settings
from search.settings import SettingsError
from search.yaml_file import parse_yaml

BOMB = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "aliases"),
        ("a: &x [*x]", "aliases"),
        ("a: &x {<<: *x}", "aliases"),
        ("[" * 5000, "nested too deep"),
        ("{a: " * 5000, "nested too deep"),
        ("- " * 20_000, "nested too deep"),
        ("x" * 2_000_000, "characters"),
        ("a: !!python/object/apply:os.system [ls]", "constructor"),
        ("a: [", "expected"),
    ],
)
def test_what_is_refused(tmp_path, text, said):
    began = time.perf_counter()
    with pytest.raises(ValueError, match=said):
        parse_yaml(text)
    (tmp_path / "search.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / "search.yaml", {})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert time.perf_counter() - began < 5


def test_aliases_are_fine_where_they_are_few():
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: &y {d: 1}, e: *y}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 1, "e": {"d": 1}},
    }


def test_a_long_value_is_shown_in_short():
    for given in ({"budget": "x" * 100_000}, {"dataset.name": "x" * 100_000}, {"space": "x" * 100_000}):
        with pytest.raises(SettingsError) as caught:
            load_settings(None, given)
        assert len(str(caught.value)) < 400
