"""The pages of the tutorials: notebooks with links to other pages, and with texts that describe the figures."""

import ast
import json
import re
from pathlib import Path

# number: what it is for, and the pages of derivations that belong to it
TUTORIALS = {
    "00": ("read the NumPy and the mathematics of the other notebooks", []),
    "01": ("compute every gradient of a small network on paper", ["one-two-one"]),
    "02": ("train a model, and test a gradient", []),
    "03": ("write a layer with forward and backward for a whole batch", ["linear", "activations"]),
    "04": ("classify, with the right loss and without overflow", ["softmax-cross-entropy", "losses"]),
    "05": ("train a network on real data, and find out why training fails", []),
    "06": ("choose initial weights and activations for a deep network", ["activations"]),
    "07": ("choose an optimiser and its learning rate", []),
    "08": ("make a network better on new data", ["dropout", "normalisation"]),
    "09": ("understand and write convolutions", ["convolution"]),
    "10": ("turn words into vectors, and predict the next character", ["embedding"]),
    "11": ("understand recurrent networks and backpropagation through time", ["rnn"]),
    "12": ("understand the gates of the LSTM and the GRU", ["lstm", "gru"]),
    "13": ("train a language model, measure it, and generate text", ["lstm"]),
    "14": ("find the mistake in a wrong gradient", []),
    "15": ("measure and improve the speed of NumPy code", []),
    "16": ("use a GPU, and know when it helps", []),
    "17": ("understand attention and train a small Transformer", ["attention", "normalisation"]),
    "18": ("write your own layer, check it and share it", []),
    "19": ("understand and write a tokenizer", []),
    "20": ("read the files of GPT-2 and generate text with it", ["attention", "attention-cache"]),
    "21": ("translate one sequence into another", ["attention"]),
    "22": ("adapt a trained model with few new numbers", ["lora"]),
    "23": ("explain why a model gave an answer", ["integrated-gradients", "shapley"]),
    "24": ("measure what a model remembers, and train with privacy", ["per-example", "accountant"]),
}
NOT_IN_THE_BROWSER = ("15", "16")  # the BLAS of the machine, and the GPU
WORDS_A_MINUTE = 150  # of text and code together, without the exercises

CODE = re.compile(r"(^```.*?^```\s*?$|^\$\$.*?^\$\$\s*?$|`[^`\n]+`|\[[^\]]*\]\([^)]*\))", re.DOTALL | re.MULTILINE)
MENTION = re.compile(r"\b[Nn]otebooks? \d\d?(?:(?:, | and | to )\d\d?\b)*")


def notebooks(folder):
    """Return a dict from the number of each notebook to its path."""
    return {path.name[:2]: path for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))}


def with_links(text, found, prefix=""):
    """Return Markdown in which each "notebook N" outside code and outside other links is a link to its page.

    Parameters
    ----------
    text : str
    found : dict from number to path
    prefix : str
        The path from the page to the folder of the notebooks.
    """

    def link(words, number):
        path = found.get(f"{int(number):02}")
        return f"[{words}]({prefix}{path.name})" if path else words

    def links(match):
        numbers = re.findall(r"\d+", match[0])
        if len(numbers) == 1:  # the word is part of the link
            return link(match[0], numbers[0])
        return re.sub(r"\d+", lambda number: link(number[0], number[0]), match[0])

    pieces = CODE.split(text)  # every second piece is code, a formula or a link
    return "".join(piece if k % 2 else MENTION.sub(links, piece) for k, piece in enumerate(pieces))


def links_line(number, path, in_browser, repository):
    """Return the line of links under the title of a tutorial, as HTML."""
    links = []
    if in_browser and number not in NOT_IN_THE_BROWSER:
        links.append(f'<a class="run" href="../lite/notebooks/index.html?path={path.name}">Run in the browser</a>')
    if repository:
        address = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks%2F{path.name}"
        links.append(f'<a href="{address}">Run on Binder</a>')
    links.append(f'<a href="{path.name}" download>Download the notebook</a>')
    for name in TUTORIALS.get(number, ("", []))[1]:
        links.append(f'<a href="../derivations/{name}.html">Derivation: {name.replace("-", " ")}</a>')
    links.append('<a href="../glossary.html">Glossary</a>')
    return '<p class="tutorial-links">\n' + "\n".join(links) + "\n</p>"


def plain(text):
    """Return text without the marks of mathematics: ``$\\sigma(w x)$`` becomes ``sigma(w x)``."""
    return re.sub(r"\s+", " ", re.sub(r"\\mathrm|[$\\{}]|\*\*", "", text)).strip(" ,;:")


def strings(node):
    """Return the text of a string or an f-string in Python code, with "..." for each computed part, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
    return None


def alternative_text(source, heading):
    """Return what a figure shows, for readers who cannot see it: the section, the axes, the curves and the titles.

    They are the texts in the code that draws the figure.
    """
    found = {"xlabel": [], "ylabel": [], "title": [], "label": [], "text": []}
    kinds = []
    try:
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    except SyntaxError:  # IPython's commands
        calls = []
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name.startswith("plot_"):
            kinds.append(name.removeprefix("plot_").replace("_", " "))
        given = [(name.removeprefix("set_"), text) for text in map(strings, call.args)]
        given += [(keyword.arg, strings(keyword.value)) for keyword in call.keywords]
        for kind, text in given:
            kind = {"suptitle": "title", "annotate": "text", "colorbar": "label"}.get(kind, kind)
            words = plain(text or "")
            if kind in found and len(words) > 1 and words != "..." and words not in found[kind]:
                found[kind].append(words)
    said = [f"Figure in the section {heading.rstrip('?.!')}"]
    if kinds:
        said.append(f"A plot of {', '.join(dict.fromkeys(kinds))}")
    if found["ylabel"] and found["xlabel"]:
        said.append(f"{' and '.join(found['ylabel'])} over {' and '.join(found['xlabel'])}")
    names = {"title": "Titles", "label": "Labels", "text": "Texts in it"}
    said += [f"{name}: {'; '.join(found[kind])}" for kind, name in names.items() if found[kind]]
    return ". ".join(said).replace('"', "'") + "."


def page(number, found, in_browser, repository):
    """Return the text of a notebook as a page: with the line of links, and with a link for each mention of another."""
    content = json.loads(found[number].read_text(encoding="utf-8"))
    others = {other: path for other, path in found.items() if other != number}
    heading = ""
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = with_links(source, others)
            if titles := re.findall(r"^#+ (.*)", source, re.MULTILINE):
                heading = plain(re.sub(r"^[\d.]+ ", "", titles[-1]))
        elif any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            cell["metadata"]["mystnb"] = {"image": {"alt": alternative_text(source, heading)}}
    title, _, rest = content["cells"][0]["source"].partition("\n")
    line = links_line(number, found[number], in_browser, repository)
    content["cells"][0]["source"] = f"{title}\n\n{line}\n\n{rest}"
    return json.dumps(content, ensure_ascii=False)


def table(found):
    """Return the table of the tutorials in Markdown: what each is for, and how long it takes to read."""
    lines = ["| | tutorial | you learn to | minutes to read |", "| --- | --- | --- | --: |"]
    for number, path in found.items():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        title = re.sub(r"^# \d+\. ", "", text.split("\n", 1)[0])
        minutes = max(5, 5 * round(len(text.split()) / WORDS_A_MINUTE / 5))
        first_aim = re.search(r"^- (.*?)[;.]$", text, re.MULTILINE | re.DOTALL)  # "You will be able to" lists the aims
        what_for = TUTORIALS[number][0] if number in TUTORIALS else " ".join(first_aim[1].split()) if first_aim else ""
        lines.append(f"| {number} | [{title}](notebooks/{path.name}) | {what_for} | {minutes} |")
    return "\n".join(lines) + "\n"
