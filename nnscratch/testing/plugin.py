"""The earlier name of the pytest plugin, for environments in which an earlier version was installed."""

from nnscratch_pytest import gradcheck, pytest_addoption, pytest_configure

__all__ = ["gradcheck", "pytest_addoption", "pytest_configure"]
