"""The texts that users read avoid expressions that readers have to read twice.

The tests read the README, the pages of the site, the sources of the notebooks, and the docstrings, comments and
messages of the package. To forbid an expression, add it to EXPRESSIONS with a suggestion.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "README.md").is_file():
    pytest.skip("the README and the docs are not part of an installation", allow_module_level=True)

EXPRESSIONS = {  # a regular expression, in which a space also matches a line break: what to write instead
    "whoever|whomever": "you, or: the user",
    "nobody|somebody|anybody": "name the person or thing, or use the passive",
    "so many(?! .{1,80} that )": "that many, or the number",
    "what stands between": "the remaining gap",
    "of one's own|of (your|its|their) user's own": "your own ..., its own ...",
    "(is|are) meant": "say what it is or does",
    "(is|are|was) to be": "must, will, or the plain verb",
    "(is|are|was) asked|asked (for|of)": "requested, called, enqueued",
    "wants? to (be|see|know)": "must, needs, or the plain verb",
    "(goes|go|gone|going) on (on|with|from)|goes on|gone through": "continues, resumes, iterated over",
    "lets? it (write|be)|let be": "generates text, leaves unchanged",
    "puts? away": "saves",
    "worked off": "processed",
    "(lies|laid|lie|stands) beside": "next to, compared with",
    "such as it is|as ever": "unchanged, always",
    "at hand": "available",
    "by (itself|themselves)": "automatically, alone, separately",
    "in the place of": "instead of, in place of",
    r"holds? (it|them|the two|each|every \w+) equal": "a test checks that both give equal results",
    "nothing has changed": "... is unchanged",
    r"what .{1,30} (is|are) worth": "how much it gains",
    "(a|the|each|every|one) stretch|stretch(es)? of": "chunk, segment, block",
}
DOCSTRING_STARTS = {
    r"What\b": "a verb or a noun phrase: 'Return the ...', 'The ...'",
    r"Whether\b": "'True if ...' or 'Return True if ...'",
    r"(How|Where|Which)\b": "a verb or a noun phrase",
}


def pattern_of(words):
    """Return the pattern of an expression, in which a space also matches a line break."""
    return re.compile(rf"\b(?:{words})\b".replace(" ", r"\s+"), re.IGNORECASE)


ANY_EXPRESSION = pattern_of("|".join(EXPRESSIONS))  # one search for all shows that most texts have none
ANYWHERE = {pattern_of(words): advice for words, advice in EXPRESSIONS.items()}
AT_THE_START = {re.compile(rf"\A\s*(?:{start})"): advice for start, advice in DOCSTRING_STARTS.items()}


def pages():
    """Return every Markdown file that is written by hand."""
    found = [ROOT / "README.md", ROOT / "notebooks" / "README.md", *(ROOT / "notebooks" / "source").glob("*.md")]
    generated = {"_build", "notebooks", "generated"}
    return found + [p for p in (ROOT / "docs").rglob("*.md") if not generated & set(p.relative_to(ROOT / "docs").parts)]


def texts_of_a_page(source):
    """Yield (line, text, is a docstring) of a Markdown page; the output of programs is not included."""
    blank = re.sub(r"(?ms)^```text\n.*?^```", lambda match: "\n" * match[0].count("\n"), source)
    yield 1, blank, False


def texts_of_a_module(source):
    """Yield (line, text, is a docstring) for the docstrings, comments and other strings of a Python file."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    tree = ast.parse(source)
    docstrings = {id(n.body[0].value) for n in ast.walk(tree) if isinstance(n, documented) and ast.get_docstring(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, id(node) in docstrings
    if not ANY_EXPRESSION.search(source):
        return  # no comment has an expression, and reading all tokens takes long
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def found_in(texts):
    """Yield (line, expression, suggestion) for each expression found."""
    for first, text, is_docstring in texts:
        patterns = ANYWHERE if ANY_EXPRESSION.search(text) else {}
        for pattern, advice in (patterns | AT_THE_START if is_docstring else patterns).items():
            for match in pattern.finditer(text):
                yield first + text.count("\n", 0, match.start()), " ".join(match[0].split()), advice


def report(path, texts):
    name = path.relative_to(ROOT)
    return [f"{name}:{line}: {words!r}. Write instead: {advice}" for line, words, advice in found_in(texts)]


def test_pages_and_notebooks_are_in_plain_english():
    found = [line for page in pages() for line in report(page, texts_of_a_page(page.read_text(encoding="utf-8")))]
    assert found == [], "\n" + "\n".join(found)


def test_docstrings_comments_and_messages_are_in_plain_english():
    modules = sorted((ROOT / "nnscratch").rglob("*.py"))
    found = [line for path in modules for line in report(path, texts_of_a_module(path.read_text(encoding="utf-8")))]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("source", ["# for whoever\nreads", 'def f():\n    """Whether it is."""', "x = 'so\\nmany'"])
def test_an_expression_is_found(source):
    assert len(list(found_in(texts_of_a_module(source)))) == 1
