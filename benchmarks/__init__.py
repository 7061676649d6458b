"""Benchmarks that are not part of the installed package. Each module is a command: ``python -m benchmarks.NAME``."""
