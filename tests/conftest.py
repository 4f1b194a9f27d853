"""Settings of all tests."""

from hypothesis import settings

# A busy machine is no failure; the same examples in every run, so that a failure can be repeated.
settings.register_profile("shared", deadline=None, derandomize=True)
settings.load_profile("shared")
