"""Plans as parameters of a sampler: every plan of a space round-trips, and every choice of parameters is a plan."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.strategies.optuna_parameters import encoding_of
from spaces.spaces import SPACES, load_space
from tests.fast import draws
from tests.spaces.drawn import generators

EACH = [(name, {}) for name in SPACES] + [("scoped", {"pairs": True}), ("interval", {"scopes": ["visual", "prompt"]})]


@pytest.mark.parametrize(("name", "options"), EACH)
@given(num_blocks=st.integers(2, 12), rng=generators)
@settings(max_examples=draws(30))
def test_plans_round_trip(name, options, num_blocks, rng):
    space = load_space(name, num_blocks, **options)
    encoding, plan = encoding_of(space), space.sample(rng)
    assert encoding.decode(encoding.encode(plan)) == plan


@pytest.mark.parametrize(("name", "options"), EACH)
@given(data=st.data())
@settings(max_examples=draws(30))
def test_any_parameters_are_a_plan_of_the_space(name, options, data):
    space = load_space(name, 5, **options)
    encoding = encoding_of(space)
    drawn = {
        key: data.draw(st.sampled_from(each.choices) if hasattr(each, "choices") else st.integers(each.low, each.high))
        for key, each in encoding.distributions.items()
    }
    space.check(encoding.decode(drawn))


def test_names_of_plans_without_scopes_stay_as_stored_studies_have_them():
    (choice, *_) = encoding_of(load_space("layers", 2)).distributions.values()
    assert choice.choices == ("keep", "skip_attn", "skip_ffn", "skip_block", "parallel")
