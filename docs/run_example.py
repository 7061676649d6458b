"""Run an example of a page: print the value of each expression that is a line of its own, and keep the names.

The worker of the live examples (_static/live-worker.js) uses it in the browser.
"""

import ast
import base64
import contextlib
import io
import json
import linecache
import logging
import sys
import traceback

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it writes a message when it lists the fonts
_number = 0


def run(source, names):
    """Run the source with the names, and return its output as JSON.

    The result has the keys ``text`` (str), ``failed`` (bool), and ``pictures``, a list of pairs of a PNG in base 64 and
    a description of the figure.
    """
    global _number
    _number += 1
    file = f"<example {_number}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file  # for tracebacks and inspect
    text, failed, values, pictures = io.StringIO(), False, [], []

    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            tree = ast.parse(source, file)
            for statement in tree.body:
                if not isinstance(statement, ast.Expr):
                    exec(compile(ast.Module([statement], []), file, "exec"), names)
                elif (value := eval(compile(ast.Expression(statement.value), file, "eval"), names)) is not None:
                    values.append(value)
                    print(repr(value))
            nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
            values += [names[node.id] for node in nodes if node.id in names]
            pictures = [(png(figure), description(figure)) for figure in figures(values)]
        except BaseException as error:  # also SystemExit: the example ends, and Python does not
            failed = True
            frames = None if isinstance(error, SyntaxError) else error.__traceback__.tb_next  # without this file
            traceback.print_exception(type(error), error, frames)
    return json.dumps({"text": text.getvalue(), "failed": failed, "pictures": pictures})


def figures(values):
    """Return the figures of the Matplotlib objects among the values, and those of pyplot, each one once."""
    if "matplotlib.figure" not in sys.modules:
        return []
    from matplotlib.artist import Artist

    found = [value.figure for value in values if isinstance(value, Artist) and value.figure is not None]
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        found += [pyplot.figure(number) for number in pyplot.get_fignums()]
        pyplot.close("all")
    return list(dict.fromkeys(found))


def png(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png", bbox_inches="tight", facecolor="white")
    return base64.b64encode(content.getvalue()).decode("ascii")


def description(figure):
    """Return the titles and the labels of the axes, for readers who cannot see the figure."""
    texts = [figure.get_suptitle()]
    for ax in figure.axes:
        texts += [ax.get_title(), " over ".join(filter(None, [ax.get_ylabel(), ax.get_xlabel()]))]
    return "Figure of the example. " + "; ".join(filter(None, texts))
