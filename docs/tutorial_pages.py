"""The links of the notebooks, and the pages of the tutorials: notebooks with captions and a line of links."""

import html
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
# the tutorial of each class that no page of derivations shows, or that another tutorial of its page explains better
TUTORIAL_OF = {
    "CrossAttention": "21",
    **dict.fromkeys(["Optimizer", "SGD", "Adagrad", "RMSprop", "Adam"], "07"),
    "AdamW": "08",
    **dict.fromkeys(["StepLR", "MultiStepLR", "CosineAnnealingLR", "LinearWarmup"], "07"),
    **dict.fromkeys(["OneCycleLR", "ReduceLROnPlateau"], "07"),
}
NOT_IN_THE_BROWSER = ("16",)  # it needs a GPU
WORDS_A_MINUTE = 150  # of text and code together, without the exercises

CODE = re.compile(r"(^```.*?^```\s*?$|^\$\$.*?^\$\$\s*?$|`[^`\n]+`|\[[^\]]*\]\([^)]*\))", re.DOTALL | re.MULTILINE)
BETWEEN = r"(?:\s\([^()]*\))?(?:,\s(?:and\s)?|\sand\s|\sto\s)"  # a remark, as in "notebooks 3 (layers) and 4"
MENTION = re.compile(rf"\b[Nn]otebook(?:s\s\d\d?(?:{BETWEEN}\d\d?\b)*|\s\d\d?)")
FILE = re.compile(r"`((?:[\w-]+/)*)([\w-]+\.py)?`")  # a file or a folder of the package, as code
ANIMATION = '<div id="animation-'  # how the HTML of an Animation of the package starts
ROOT = Path(__file__).resolve().parents[1]
REPOSITORY_LINK = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+((?:nnscratch|tests|benchmarks|examples|notebooks)/[\w/.-]*|README\.md)(?:#[\w-]*)?\)"
)


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
        words = re.split(r"(\([^()]*\)|\d+)", match[0])
        return "".join(link(word, word) if word.isdigit() else word for word in words)

    pieces = CODE.split(text)  # every second piece is code, a formula or a link
    return "".join(piece if k % 2 else MENTION.sub(links, piece) for k, piece in enumerate(pieces))


def title_of(text):
    """Return the first heading of a Markdown text, without its number."""
    return re.search(r"^# (?:\d+\. )?(.+)$", text, re.MULTILINE)[1]


def neighbours_line(number, sources):
    """Return the last line of a notebook: links to the previous and next notebook, its derivations and the glossary.

    Parameters
    ----------
    number : str
        Two digits.
    sources : dict from number to path
        The sources of all notebooks.
    """
    numbers, links = sorted(sources), []
    place = numbers.index(number)
    for word, at in (("Previous", place - 1), ("Next", place + 1)):
        if 0 <= at < len(numbers):
            source = sources[numbers[at]]
            title = title_of(source.read_text(encoding="utf-8"))
            links.append(f"{word}: [{numbers[at]}. {title}]({source.stem}.ipynb)")
    for name in TUTORIALS.get(number, ("", []))[1]:
        title = title_of((ROOT / "docs" / "derivations" / f"{name}.md").read_text(encoding="utf-8"))
        links.append(f"Derivation: [{title}](../docs/derivations/{name}.md)")
    links.append("[Glossary](../docs/glossary.md)")
    return " · ".join(links)


def with_whole_percentages(text):
    """Return Markdown in which no line breaks between a number and its per cent sign, outside code and formulas."""
    pieces = CODE.split(text)
    return "".join(piece if k % 2 else re.sub(r"(?<=\d) %", "\u00a0%", piece) for k, piece in enumerate(pieces))


def with_file_links(text):
    """Return a notebook's Markdown in which each file of the package that it names is a link to this file.

    After ``nnscratch/layers/dropout.py``, the name ``batch_norm.py`` alone means a file of the same folder.
    """
    folder, pieces = "", CODE.split(text)
    for k, piece in enumerate(pieces):
        match = FILE.fullmatch(piece)
        if not match or not (match[1].startswith("nnscratch/") or (folder and not match[1])):
            continue
        folder = match[1] or folder
        path = folder + (match[2] or "")
        if (ROOT / path).exists():
            pieces[k] = f"[{piece}](../{path})"
    return "".join(pieces)


def pages_that_derive():
    """Map the name of each class to the page of derivations that shows its backward."""
    found = {}
    for page in sorted((ROOT / "docs" / "derivations").glob("*.md")):
        for name in re.findall(
            r":pyobject: (\w+)\.(?:layer_)?backward$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found.setdefault(name, page.stem)
    # BatchNorm2d inherits its backward, and the page shows the forward of CrossAttention
    return found | {"LSTM": "lstm", "BatchNorm2d": "normalisation", "CrossAttention": "attention"}


def tutorial_of(name, derived):
    """Return the number of the tutorial that explains a class, or None."""
    page = derived.get(name)
    return TUTORIAL_OF.get(name) or next((n for n, (_, pages) in TUTORIALS.items() if page in pages), None)


def has_source_page(path):
    """Return True if the site shows the source of this file: it defines a name that the reference lists."""
    if path.endswith("__init__.py") or not (ROOT / path).exists():
        return path.endswith("__init__.py")
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")]
    listed = set(re.findall(r"^   (?:\w+\.)*(\w+)$", "\n".join(pages), re.MULTILINE))
    return not listed.isdisjoint(re.findall(r"^(?:class|def) (\w+)", (ROOT / path).read_text("utf-8"), re.MULTILINE))


def with_repository_links(text, up):
    """Return a page's Markdown with links to source pages in place of links to files of the package.

    Other links into the repository become text, because the site does not contain those files.

    Parameters
    ----------
    text : str
    up : str
        The path from the page to the root of the site.
    """

    def link(match):
        words, path = match[1], match[2]
        if path.startswith("nnscratch/") and path.endswith(".py") and has_source_page(path):
            module = path.removesuffix(".py").removesuffix("/__init__")
            return f'<a class="reference internal" href="{up}_modules/{module}.html">{words}</a>'
        return words

    return REPOSITORY_LINK.sub(link, text)


def links_line(number, path, in_browser, repository):
    """Return the line of links under the title of a tutorial, as HTML."""
    links = []
    if number not in NOT_IN_THE_BROWSER:
        run = f'<a class="run" href="../lite/notebooks/index.html?path={path.name}">Run in the browser</a>'
        links.append(run if in_browser else '<a href="../in-the-browser.html">Run in the browser: how</a>')
    if repository:
        address = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks%2F{path.name}"
        links.append(f'<a href="{address}">Run on Binder</a>')
        address = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{path.name}"
        links.append(f'<a href="{address}">Open in Colab</a>')
    links.append(f'<a href="{path.name}" download>Download the notebook</a>')
    for name in TUTORIALS.get(number, ("", []))[1]:
        title = title_of((ROOT / "docs" / "derivations" / f"{name}.md").read_text(encoding="utf-8"))
        links.append(f'<a href="../derivations/{name}.html">Derivation: {title}</a>')
    links.append('<a href="../glossary.html">Glossary</a>')
    line = '<p class="tutorial-links">\n' + "\n".join(links) + "\n</p>"
    if repository:
        line += f"\n\nIn Colab, run this first: `%pip install git+https://github.com/{repository}`"
    return line


def with_alternative_text(animation, alt):
    """Return the HTML of an animation in which the picture has this alternative text."""
    return re.sub(r'alt="[^"]*"', lambda _: f'alt="{html.escape(alt)}"', animation, count=1)


def page(number, found, in_browser, repository):
    """Return the text of a notebook as a page.

    The page has a line of links. Its links lead to pages of the site. Each figure has the caption and the alternative
    text that are in the metadata of its cell.
    """
    content = json.loads(found[number].read_text(encoding="utf-8"))
    for cell in content["cells"]:
        metadata = cell["metadata"]
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"]).replace("](../docs/", "](../")
            cell["source"] = with_whole_percentages(with_repository_links(text, "../"))
        elif "alt" in metadata:
            metadata["mystnb"] = {"image": {"alt": metadata["alt"]}, "figure": {"caption": metadata["caption"]}}
            for output in cell["outputs"]:
                text = "".join(output.get("data", {}).get("text/html", ""))
                if ANIMATION in text:
                    output["data"]["text/html"] = with_alternative_text(text, metadata["alt"])
    title, _, rest = content["cells"][0]["source"].partition("\n")
    line = links_line(number, found[number], in_browser, repository)
    content["cells"][0]["source"] = f"{title}\n\n{line}\n\n{rest}"
    return json.dumps(content, ensure_ascii=False)


def table(found):
    """Return the table of the tutorials in Markdown: what each is for, and how long it takes to read."""
    lines = ["| | tutorial | you learn to | minutes |", "| --- | --- | --- | --: |"]
    for number, path in found.items():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        title = re.sub(r"^# \d+\. ", "", text.split("\n", 1)[0])
        minutes = max(5, 5 * round(len(text.split()) / WORDS_A_MINUTE / 5))
        first_aim = re.search(r"^- (.*?)[;.]$", text, re.MULTILINE | re.DOTALL)  # "You will be able to" lists the aims
        what_for = TUTORIALS[number][0] if number in TUTORIALS else " ".join(first_aim[1].split()) if first_aim else ""
        lines.append(f"| {number} | [{title}](notebooks/{path.name}) | {what_for} | {minutes} |")
    return "\n".join(lines) + "\n"
