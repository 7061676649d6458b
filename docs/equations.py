"""The section "Equations" of a class's page: the docstring of the class's file, as reStructuredText.

In these docstrings, equations stand in columns. They become code blocks, which keep the columns. The other paragraphs
become text. They have no markup except for names in backquotes and the addresses of papers, which become links.
"""

import itertools
import re
import textwrap

ROLE = re.compile(r":\w+:`~?([^`]+)`")
NAME = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PAPER = re.compile(r"\b(?:arXiv:(\d{4}\.\d{4,5})|doi:(10\.\d{4,}/[^\s,;]*[^\s,;.:)]))")
LITERAL = re.compile(r"(``.+?``|`[^`]+ <https:[^`]+>`__)", re.DOTALL)
MARKUP = re.compile(r"[\\*_|]")  # characters that have a meaning in reStructuredText
COLUMNS = re.compile(r"\A |\S {2,}\S")
HEADING = re.compile(r"\A(.+)\n-+\n")


def with_links_to_papers(text):
    """Return reStructuredText in which each ``arXiv:...`` and ``doi:10...`` is a link to the paper."""

    def link(match):
        address = f"arxiv.org/abs/{match[1]}" if match[1] else f"doi.org/{match[2]}"
        return f"`{match[0]} <https://{address}>`__"

    return PAPER.sub(link, text)


def paragraph(text):
    """Return a paragraph of a docstring as reStructuredText."""
    heading = HEADING.match(text)
    text = NAME.sub(r"``\1``", ROLE.sub(r"``\1``", text[heading.end() :] if heading else text))
    pieces = LITERAL.split(with_links_to_papers(text))  # every second piece is a name in backquotes or a link
    text = "".join(piece if k % 2 else MARKUP.sub(r"\\\g<0>", piece) for k, piece in enumerate(pieces))
    return f".. rubric:: {heading[1]}\n\n{text}" if heading else text


def restructured(docstring):
    """Return the lines of reStructuredText for the docstring of a file.

    Parameters
    ----------
    docstring : str
        Without the indentation that all its lines have.
    """
    lines = []
    blocks = re.split(r"\n(?:[ ]*\n)+", docstring.strip("\n"))
    for in_columns, group in itertools.groupby(blocks, lambda block: bool(COLUMNS.search(block))):
        if in_columns:
            equations = textwrap.indent(textwrap.dedent("\n\n".join(group)), "    ")
            lines += [".. code-block:: text", "", *equations.splitlines(), ""]
        else:
            lines += [line for block in group for line in (*paragraph(block).splitlines(), "")]
    return lines
