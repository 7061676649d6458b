"""Configuration of the site (make docs). The build contains everything that a page needs, so it works offline.

The tutorials are the executed notebooks of ../notebooks. Each build copies them to this folder and does not run them.
"""

import argparse
import importlib
import importlib.util
import inspect
import operator
import os
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import equations  # noqa: E402 (beside this file)
import tutorial_pages  # noqa: E402 (beside this file)

import nnscratch.cli  # noqa: E402 (from this checkout: the line above puts it first)
from nnscratch.layers.recurrent import Recurrent  # noqa: E402
from nnscratch.optim.lr_scheduler import LRScheduler  # noqa: E402

project = "nnscratch"
author = "The nnscratch authors"
copyright = "the nnscratch authors; MIT licence"
version = release = nnscratch.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "live_examples",  # beside this file
]
exclude_patterns = ["_build", "lite", "_*.md", "**/_*.md", "examples/*.ipynb"]  # an underscore: included in other pages
suppress_warnings = ["toc.empty_glob"]
templates_path = ["_templates"]
language = "en"

# --- the tutorials ---------------------------------------------------------------------------------------------------

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

COPIES = HERE / "notebooks"
shutil.rmtree(COPIES, ignore_errors=True)
COPIES.mkdir()
TUTORIALS = tutorial_pages.notebooks(ROOT / "notebooks")
# The address of the repository on GitHub, "owner/name". Without it, the pages have no links to Binder and Colab.
REPOSITORY = os.environ.get("NNSCRATCH_REPOSITORY", "")
IN_BROWSER = bool(os.environ.get("NNSCRATCH_IN_BROWSER"))  # make docs-lite sets it: the site then has JupyterLite
for number, notebook in TUTORIALS.items():
    text = tutorial_pages.page(number, TUTORIALS, IN_BROWSER, REPOSITORY)
    (COPIES / notebook.name).write_text(text, encoding="utf-8")
(COPIES / "_table.md").write_text(tutorial_pages.table(TUTORIALS), encoding="utf-8")

# --- the reference ---------------------------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings describe the types in words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# A class page lists what you call. The pages of these base classes explain what a subclass overrides for them.
BASES = {nnscratch.Module, Recurrent, nnscratch.optim.Optimizer, LRScheduler, nnscratch.training.Callback}
YOU_CALL = {"forward", "backward", "step", "state_dict"}
CALLED_BY_THE_PACKAGE = {
    "DPSGD": {"settings", "check", "check_batches"},
    "History": {"add_step", "start_clock", "update_seconds"},
    "Linear": {"keep_examples"},
    "Module": {"put_back_saved"},
    "MultiheadAttention": {"keep_examples"},
    "Parameter": {"keep"},
    "Trainer": {"call", "step", "ask_step"},  # the last two are old names
}


def documented():
    """Return a dict from the full name of each class and function of the reference to the object."""
    found = {}
    for page in (HERE / "reference").glob("*.md"):
        for block in page.read_text(encoding="utf-8").split(".. currentmodule:: ")[1:]:
            module, names = block.split("```")[0].split("\n", 1)
            for name in re.findall(r"^   ([\w.]+)$", names, re.MULTILINE):
                found[f"{module}.{name}"] = operator.attrgetter(name)(importlib.import_module(module))
    return found


def left_out(cls):
    """Return the members of a class that its page does not list, as text for autodoc."""
    overridden = {member for base in cls.__mro__[1:] if base in BASES for member in vars(base)} - YOU_CALL
    return ", ".join(sorted(overridden | CALLED_BY_THE_PACKAGE.get(cls.__name__, set())))


def documented_bases(cls):
    """Return the first base class that has a page or is an exception, in a list; or an empty list."""
    return [base for base in cls.__mro__[1:] if base in CLASSES.values() or issubclass(base, BaseException)][:1]


CLASSES = {name: value for name, value in documented().items() if inspect.isclass(value)}
autosummary_context = {
    "left_out": {name: left_out(cls) for name, cls in CLASSES.items()},
    "has_a_base": [name for name, cls in CLASSES.items() if documented_bases(cls)],
}

# --- the pages -------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = "nnscratch"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"  # WCAG AAA
html_js_files = ["site.js"]
copybutton_prompt_text, copybutton_prompt_is_regexp = r">>> |\.\.\. |\$ ", True
mathjax_path = "mathjax/tex-chtml.js"  # copied by mathjax_in_the_build
mathjax3_config = {"options": {"enableMenu": False}}
linkcheck_timeout = 10


def links_into_the_repository(app, docname, source):
    """Change links to files of the package into links to their source pages. (The notebooks have these already.)"""
    if not docname.startswith("notebooks/"):
        text = tutorial_pages.with_repository_links(source[0], "../" * docname.count("/"))
        source[0] = tutorial_pages.with_whole_percentages(text)


def links_to_notebooks(app, docname, source):
    """Make each mention of a notebook a link. (The pages of the notebooks have their links already.)"""
    if not docname.startswith(("notebooks/", "reference/generated/")):
        source[0] = tutorial_pages.with_links(source[0], TUTORIALS, "../" * docname.count("/") + "notebooks/")


def notebooks_to_download(app, error):
    """Copy the notebooks to the site, as they are in the repository."""
    if error is None and app.builder.format == "html":
        for notebook in TUTORIALS.values():
            shutil.copyfile(notebook, Path(app.outdir) / "notebooks" / notebook.name)


INCLUDE = re.compile(r"^```\{include\} (_\S+\.md)\n```$", re.MULTILINE)


def tables_not_measured(app, docname, source):
    """Replace the include of a table that does not exist yet with a note."""
    folder = (HERE / docname).parent

    def include(match):
        return match[0] if (folder / match[1]).exists() else "*(This table has not been measured yet.)*"

    source[0] = INCLUDE.sub(include, source[0])


def mathjax_in_the_build(app, error):
    """Copy MathJax and its fonts from the package sphinx-mathjax-offline."""
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    if error is None and app.builder.format == "html":
        target = Path(app.outdir) / "_static" / "mathjax"
        target.mkdir(exist_ok=True)
        shutil.copyfile(package / "tex-chtml.js", target / "tex-chtml.js")
        fonts = Path("output", "chtml", "fonts")
        shutil.copytree(package / fonts, target / fonts, dirs_exist_ok=True)


DERIVED = tutorial_pages.pages_that_derive()


def name_a_documented_base(app, name, obj, options, bases):
    """Name a base class that has a page in place of an internal one, and link to its page."""
    names = {cls: f":class:`~{name}`" for name, cls in CLASSES.items()}
    bases[:] = [names.get(base, base) for base in documented_bases(obj)]


def links_to_papers(app, what, name, obj, options, lines):
    """Turn the addresses of papers in a docstring into links."""
    lines[:] = [equations.with_links_to_papers(line) for line in lines]


def equations_and_derivation(app, what, name, obj, options, lines):
    """Add links to the derivation and the tutorial, and the docstring of the file, to a class's docstring.

    The docstring of the file has the equations. The files of the base class and of the schedules have none.
    """
    module = getattr(obj, "__module__", "")
    if what != "class" or not re.match(r"nnscratch\.(layers|losses|optim)\.", module):
        return
    sentences = []
    if page := DERIVED.get(obj.__name__):
        sentences.append(f"Derived step by step in :doc:`/derivations/{page}`.")
    if number := tutorial_pages.tutorial_of(obj.__name__, DERIVED):
        tutorial = f"tutorial :doc:`/notebooks/{TUTORIALS[number].stem}`"
        changes = f"The {tutorial} explains why schedules change the learning rate."
        sentences.append(changes if issubclass(obj, LRScheduler) else f"Explained in the {tutorial}.")
    if sentences:
        lines += ["", " ".join(sentences)]
    if re.match(r"nnscratch\.optim\.(optimizer|lr_scheduler)", module):
        return
    lines += ["", ".. rubric:: Equations", "", *equations.restructured(inspect.getdoc(sys.modules[module]))]


class CommandHelp(Directive):
    """``{command-help}``: the output of ``--help`` for every command."""

    def run(self):
        os.environ["COLUMNS"] = "90"
        parser = nnscratch.cli.parser()
        (commands,) = (a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        found = []
        for name, command in commands.items():
            section = nodes.section(ids=[nodes.make_id(f"command-{name}")])
            section += [nodes.title(text=f"nnscratch {name}"), nodes.literal_block(text=command.format_help())]
            section[-1]["language"] = "text"
            found.append(section)
        return found


class ExerciseList(Directive):
    """``{exercise-list}``: the name and title of every exercise, numbered from 1."""

    def run(self):
        found = nodes.enumerated_list(enumtype="arabic", prefix="", suffix=".")
        for exercise in nnscratch.exercises.LADDER:
            name = nodes.literal(text=exercise.name)
            found += nodes.list_item("", nodes.paragraph("", "", name, nodes.Text(f": {exercise.title}")))
        return [found]


def one_list_of_modules(app, pagename, templatename, context, doctree):
    """Make the overview of the source pages one list. Sphinx puts a list directly into a list, which HTML forbids."""
    if pagename == "_modules/index":
        heading, _, modules = context["body"].partition("<ul>")
        context["body"] = f"{heading}<ul>{re.sub('</?ul>', '', modules)}</ul>"


def setup(app):
    app.add_directive("command-help", CommandHelp)
    app.add_directive("exercise-list", ExerciseList)
    app.connect("build-finished", mathjax_in_the_build)
    app.connect("autodoc-process-docstring", links_to_papers, priority=800)
    app.connect("autodoc-process-docstring", equations_and_derivation, priority=900)  # runs after numpydoc's handler
    app.connect("autodoc-process-bases", name_a_documented_base)
    app.connect("source-read", links_into_the_repository)
    app.connect("source-read", tables_not_measured)
    app.connect("source-read", links_to_notebooks)
    app.connect("build-finished", notebooks_to_download)
    app.connect("html-page-context", one_list_of_modules)
