"""Settings of all tests."""

from hypothesis import settings

from tests.fast import draws

# No deadline, because machines are busy; the same examples in every run, so that a failure can be repeated.
settings.register_profile("shared", deadline=None, derandomize=True)
settings.register_profile("fast", settings.get_profile("shared"), max_examples=draws(100))
settings.load_profile("fast")
