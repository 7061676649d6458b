"""The fixture that runs an answer and its check as two cells of a notebook."""

import linecache
import textwrap

import numpy as np
import pytest

import nnscratch as nn
from nnscratch.testing import exercise


@pytest.fixture
def said(capsys):
    """said(answer, check): what a check cell prints after an answer cell.

    As in IPython, each cell is a file of its own that exists in `linecache` only.
    """

    def said(answer, check):
        scope = {"np": np, "nn": nn, "exercise": exercise}
        indented = textwrap.indent(textwrap.dedent(check).strip(), "    ")
        for name, source in (("<answer>", answer), ("<check>", f'with exercise("1"):\n{indented}\n')):
            source = textwrap.dedent(source).lstrip("\n")
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
            exec(compile(source, name, "exec"), scope)
        return capsys.readouterr().out

    yield said
    linecache.cache.pop("<answer>", None)
    linecache.cache.pop("<check>", None)
