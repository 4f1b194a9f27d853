"""Error texts about unknown names."""

from spaces.names import unknown


def test_near_name_is_suggested():
    error = unknown("strategy", "Evolutoin", ["random", "evolution"])
    assert str(error) == "unknown strategy 'Evolutoin' (did you mean 'evolution'?): known are random, evolution"


def test_far_name_gets_the_list_and_the_hint():
    error = unknown("strategy", "x", iter(["random"]), "or give a module path")
    assert str(error) == "unknown strategy 'x': known are random; or give a module path"
