"""Settings for all tests."""

from hypothesis import settings

settings.register_profile("nnscratch", deadline=None)  # a busy machine is no failure
settings.load_profile("nnscratch")
