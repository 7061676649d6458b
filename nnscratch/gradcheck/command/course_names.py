"""The usual names of arguments in courses, with a shape or a value for each name.

A shape is a string with one letter for each axis, such as "ND". `SIZES` contains the sizes. Most sizes differ, so that
code that confuses two axes raises an error. A family is a set of names that are used together, with their shapes. For
example, ``x, w, b`` have different shapes in the family of a convolution and in the family of a fully connected layer.
"""

from __future__ import annotations

import re
from typing import Any

SIZES = {
    "N": 3,  # examples
    "D": 4,  # features
    "M": 5,  # units
    "H": 5,  # hidden units
    "V": 7,  # words, classes
    "K": 6,  # classes
    "T": 6,  # steps in time
    "C": 2,  # channels
    "F": 3,  # filters
    "L": 7,  # length of a sequence
    "Y": 5,  # height of an image
    "X": 7,  # width of an image
    "k": 3,  # height and width of a kernel
    "1": 1,
    "3": 3 * 5,  # three gates of H units
    "4": 4 * 5,  # four gates of H units
    "G": 4,  # channels in two groups
    "y": 4,  # even height of an image
    "z": 6,  # even width of an image
    "S": 2,  # symbols of a short target
    "+": 5 + 4,  # a hidden state and the features, joined
}

IMAGE, SEQUENCE, VECTOR = "NCYX", "NCL", "ND"

# for each family: its name, a pattern for the name of the function or class, and the shapes of the arguments. A word
# in front of a shape, such as "int", says which values to draw: see `draw` in drawing.py
FAMILIES: list[tuple[str, str, dict[str, str]]] = [
    ("group norm", r"group_?norm", {"x": "NGYX", "gamma": "1G11", "beta": "1G11"}),
    ("group norm, vectors", r"group_?norm", {"x": "NGYX", "gamma": "G", "beta": "G"}),
    ("spatial norm of 4 channels", r"norm_?2d|spatial", {"x": "NGYX", "gamma": "G", "beta": "G"}),
    ("spatial norm", r"spatial|batch_?norm_?2d", {"x": IMAGE, "gamma": "C", "beta": "C"}),
    ("norm", r"norm", {"x": VECTOR, "gamma": "D", "beta": "D"}),
    ("pool", r"pool", {"x": IMAGE}),
    ("pool, even sizes", r"pool", {"x": "NCyz"}),
    ("pool, channels last", r"pool", {"x": "NYXC"}),
    ("conv 1d", r"conv\w*1d|downsample1d|upsample1d|pool\w*1d", {"x": SEQUENCE, "w": "FCk", "b": "F"}),
    ("conv", r"conv", {"x": IMAGE, "w": "FCkk", "b": "F"}),
    ("conv, columns of bias", r"conv", {"x": IMAGE, "w": "FCkk", "b": "F1"}),
    ("conv net", r"conv\w*net|cnn", {"x": "NCyz", "y": "int K:N"}),
    ("conv, transposed", r"conv", {"x": IMAGE, "w": "CFkk", "b": "F"}),
    ("conv, channels last", r"conv", {"x": "NYXC", "w": "kkCF", "b": "111F"}),
    ("images", r"2d|image|flatten|upsample|downsample|cnn", {"x": IMAGE}),
    ("sequences", r"1d|flatten|upsample|downsample|cnn|scan", {"x": SEQUENCE}),
    ("embedding", r"embed", {"x": "int V:NT", "w": "VD"}),
    ("rnn step, columns", r"rnn", {"x": "DN", "a": "HN", "parameters": "dict"}),
    ("rnn, columns", r"rnn", {"x": "DNT", "a": "HN", "parameters": "dict"}),
    ("lstm step, columns", r"lstm", {"x": "DN", "a": "HN", "c": "HN", "parameters": "dict"}),
    ("lstm, columns", r"lstm", {"x": "DNT", "a": "HN", "parameters": "dict"}),
    ("network, columns", r"", {"x": "DN", "y": "binary 1N", "parameters": "dict"}),
    ("layer, columns", r"", {"x": "DN", "parameters": "dict"}),
    ("lstm step", r"lstm", {"x": "ND", "h": "NH", "c": "NH", "wx": "D4", "wh": "H4", "b": "4"}),
    ("lstm", r"lstm", {"x": "NTD", "h": "NH", "c": "NH", "wx": "D4", "wh": "H4", "b": "4"}),
    ("gru step", r"gru", {"x": "ND", "h": "NH", "wx": "D3", "wh": "H3", "b": "3"}),
    ("gru", r"gru", {"x": "NTD", "h": "NH", "wx": "D3", "wh": "H3", "b": "3"}),
    ("rnn step", r"rnn|recurrent|cell", {"x": "ND", "h": "NH", "wx": "DH", "wh": "HH", "b": "H"}),
    ("rnn", r"rnn|recurrent", {"x": "NTD", "h": "NH", "wx": "DH", "wh": "HH", "b": "H"}),
    ("cell of one example", r"gru|rnn|lstm|cell", {"x": "D", "h": "H", "c": "H"}),
    ("temporal affine", r"temporal|time", {"x": "NTD", "w": "DM", "b": "M"}),
    ("temporal loss", r"temporal|time", {"x": "NTV", "y": "int V:NT", "mask": "bool NT"}),
    ("ctc", r"ctc", {"x": "TNV", "y": "int 1-V:NS", "input_lengths": "full T:N", "target_lengths": "full S:N"}),
    ("language model", r"lm|rnn|lstm|gru|lang|seq|gpt|transformer", {"x": "int V:NT", "y": "int V:NT"}),
    ("decoder with a state", r"decod", {"x": "int V:NT", "h": "NH"}),
    ("decoder with states", r"decod", {"x": "int V:NT", "hs": "NTH"}),
    ("weights of states", r"atten|weight", {"hs": "NTH", "a": "NT"}),
    ("attention of a state", r"atten|weight", {"hs": "NTH", "h": "NH"}),
    ("attention of states", r"atten|weight", {"hs": "NTH", "h": "NTH"}),
    ("attention", r"atten", {"q": "NTD", "k": "NTD", "v": "NTD", "x": "NTD", "w": "DD"}),
    ("logistic regression, columns", r"propagate", {"w": "D1", "b": "number", "x": "DN", "y": "binary 1N"}),
    ("linear classifier", r"", {"w": "DK", "x": "ND", "y": "int K:N"}),
    ("binary classes, matrices", r"bce|binary|logistic|log_?loss", {"x": "prob ND", "y": "binary ND"}),
    ("binary classes, one column", r"bce|binary|logistic|log_?loss", {"x": "prob N1", "y": "binary N1"}),
    ("binary classes, vectors", r"bce|binary|logistic|log_?loss", {"x": "prob N", "y": "binary N"}),
    ("probabilities", r"cross|nll|entropy", {"p": "prob NK", "y": "int K:N"}),
    ("probabilities, one-hot", r"cross|nll|entropy", {"p": "prob NK", "y": "onehot NK"}),
    ("classes", r"^(?!.*(mse|mean_?sq|l1|l2|huber|square|regress|bce|binary))", {"x": "NK", "y": "int K:N"}),
    ("classes, one-hot", r"^(?!.*(mse|mean_?sq|l1|l2|huber|square|regress|bce|binary))", {"x": "NK", "y": "onehot NK"}),
    ("binary classes", r"bce|binary|logistic|log_?loss|cross", {"x": "prob ND", "y": "binary ND"}),
    ("regression", r"loss|mse|l1|l2|huber|error|cost|square|criterion", {"x": "ND", "y": "ND"}),
    ("network", r"", {"x": "ND", "y": "int K:N"}),
    ("network, one-hot", r"", {"x": "ND", "y": "onehot NK"}),
    ("two vectors", r"loss|mse|l1|l2|huber|error|cost|square", {"x": "N", "y": "N"}),
    ("binary scores", r"bce|binary|logistic|sigmoid", {"x": "N", "y": "binary N"}),
    ("binary scores, integers", r"bce|binary|logistic|sigmoid", {"x": "N", "y": "int S:N"}),
    ("one column", r"", {"x": "D1", "y": "K1"}),
    ("columns", r"", {"a": "DN", "w": "MD", "b": "M1"}),
    ("affine", r"", {"x": "ND", "w": "DM", "b": "M"}),
    ("affine, transposed", r"", {"x": "ND", "w": "MD", "b": "M"}),
    ("affine, rows of bias", r"", {"x": "ND", "w": "DM", "b": "1M"}),
    ("scale and shift", r"", {"x": "ND", "gamma": "D", "beta": "D"}),
    ("rows", r"", {"x": "ND"}),
    ("words", r"", {"x": "int V:NT"}),
    ("positive", r"", {"x": "prob ND"}),
    ("images, at last", r"", {"x": IMAGE}),
    ("sequences, at last", r"", {"x": "NTD"}),
    ("examples in columns", r"", {"x": "DN"}),
    ("one vector", r"", {"x": "D"}),
]

# each name in FAMILIES, and other names with the same meaning
SAME_NAME = {
    "x": r"x|x_?t|xs|z|a|a_?prev|a0|input|inputs|input_?data|inp|data|features?|images?|logits?|scores?|pred|preds|"
    r"y_?pred|y_?hat|out_?prev|activations?|idx|ids|tokens?|words?|probs?|out|outputs?|predictions?|h_?in|predicted|inpt",
    "p": r"probs?|y_?pred|y_?hat|predictions?|dvalues|al",
    "w": r"w|weights?|kernels?|filters?|theta|embeddings?|table",
    "b": r"b|bias|biases|b_?h",
    "gamma": r"gamma|scale|g",
    "beta": r"beta|shift",
    "h": r"h|prev_?h|h_?prev|h0|h_?prev_?t|hidden|h_?t|a_?prev_?t|state|h_?prev_?l|hs_?dec|dec_?hs",
    "hs": r"hs|hs_?enc|enc_?hs|hidden_?states",
    "c": r"c|prev_?c|c_?prev|c0",
    "wx": r"wx|w_?xh|w_?ih|u",
    "wh": r"wh|w_?hh",
    "y": r"y|t|ts|y_?true|targets?|labels?|truth|target_?data|y_?batch|classes|y_?targets?|y_?train|y_?actual|actual|"
    r"expected|desired|ground_?truth|gt|target_?ind(ex|ices)",
    "mask": r"mask",
    "q": r"q|query|queries",
    "k": r"k|key|keys",
    "v": r"v|values?",
    "a": r"a|a_?prev|a_?0",
    "parameters": r"parameters|params",
    "input_lengths": r"input_?len(gth)?s?",
    "target_lengths": r"target_?len(gth)?s?",
}
_SAME_NAME = {name: re.compile(rf"(?:{pattern})\Z") for name, pattern in SAME_NAME.items()}

# the shapes of the arrays in a dictionary of parameters, if each column of the inputs is an example
COLUMNS = [
    (re.compile(pattern), shape)
    for pattern, shape in (
        (r"Waa", "HH"),
        (r"Wax", "HD"),
        (r"Wya|Wy", "MH"),
        (r"by", "M1"),
        (r"ba|b[fiuco]", "H1"),
        (r"W[fiuco]", "H+"),
    )
]

OPERAND = re.compile(r"[abxyuv][12]?|t[12]|lhs|rhs|left|right|other")  # an argument of an operation such as a * b

# Values for dictionaries, by the name of the argument. The command tries the values of a list in this order.
SETTINGS: dict[str, list[Any]] = {
    "conv_param": [{"stride": 2, "pad": 1}, {"stride": 1, "pad": 1}],
    "pool_param": [
        {"pool_height": 3, "pool_width": 3, "stride": 2},
        {"pool_height": 2, "pool_width": 2, "stride": 2},
    ],
    "bn_param": [{"mode": "train"}],
    "ln_param": [{}],
    "gn_param": [{}],
    "dropout_param": [{"mode": "train", "p": 0.6, "seed": 1}],
    "hparameters": [{"stride": 2, "pad": 1, "f": 3}],
    "hparams": [{"stride": 2, "pad": 1, "f": 3}],
}

# Values for arguments that are numbers. The first pattern that matches the argument's name gives the value.
NUMBERS: list[tuple[str, Any]] = [
    (r"(in|input)_?(channels?|ch|c)|channels?|c_?in", SIZES["C"]),
    (r"(out|output)_?(channels?|ch|c)|num_?(filters|kernels)|n_?filters|filters|c_?out", SIZES["F"]),
    (
        r"(in|input|n)_?(features?|dims?|size|units|d)|(n|num)_?(in|x|inputs?)|(num_)?features?|n_?features|d_?in|fan_?in",
        SIZES["D"],
    ),
    (r"(word_?vec|wordvec|embed(ding)?|d|emb)_?(dim|size|model)|dim|size|d|normalized_shape|in_?dim", SIZES["D"]),
    (r"(num|n)_?(embeddings?|words|tokens)|vocab(_?size)?|n_?vocab", SIZES["V"]),
    (r"(hidden|h)_?(size|dim|units|features?)|n_?(hidden|h|a|units)|units|hidden", SIZES["H"]),
    (
        r"(out|output)_?(features?|dims?|size|units|d)|(n|num)_?(out|y|outputs?|neurons?)|d_?out|fan_?out|neurons|m",
        SIZES["M"],
    ),
    (r"(num|n)_?(classes|labels)|classes", SIZES["K"]),
    (r"hidden_?(dims|sizes|layers|units_list|size_list)", [SIZES["H"], SIZES["M"]]),
    (
        r"((nn|net(work)?)_?)?(layers?_?(dims|sizes|widths)|layers|sizes|dims|widths|architecture|topology|structure)",
        [SIZES["D"], SIZES["H"], SIZES["K"]],
    ),
    (r"(num|n)_?heads|heads|g|(num_?)?groups|seq_?len", 2),
    (r"(kernel|filter|k|f)_?(size|height|width|h|w)|kernel|fh|fw|kh|kw|k|f", SIZES["k"]),
    (r"pool_?(size|height|width|h|w)|window|up\w*_?(factor|scale)|down\w*_?factor|factor|scale_factor|stride|s", 2),
    (r"padding|pad", 1),
    (r"p|p_?drop(out)?|drop(out)?(_?(rate|prob|ratio|p))?|keep_?prob|rate|prob|ratio", 0.5),
    (r"reg|reg_?strength|lamb?d?a?_?|l2|weight_?decay|wd|alpha|slope|negative_?slope|leak", 0.1),
    (r"eps|epsilon", 1e-5),
    (r"momentum|rho|decay", 0.9),
    (r"delta|margin|scale|c", 1.0),
    (r"lr|learning_?rate|eta", 0.0),
    (r"blank", 0),
    (r"seed|rng|random_?state", 0),
    (r"train(ing)?|is_?train(ing)?|train_?flg|train_?mode", True),
    (r"eval(uate)?|test|debug|verbose", False),
    (r"mode", "train"),
    (r"activation", "relu"),
]
_NUMBERS = [(re.compile(rf"(?:{pattern})\Z"), value) for pattern, value in NUMBERS]


def canonical(name: str) -> list[str]:
    """Return the names in `FAMILIES` that have the same meaning as `name`.

    Examples
    --------
    >>> canonical("prev_h"), canonical("A_prev"), canonical("foo")
    (['h'], ['x', 'a'], [])
    """
    lower = name.lower()
    return [known for known, pattern in _SAME_NAME.items() if pattern.match(lower)]


def size_for(name: str, default: Any) -> Any:
    """Return a value for a constructor's argument, or None to keep its default.

    Replace a default that is large, such as 100 hidden units, or that hides mistakes, such as a stride of 1.

    Examples
    --------
    >>> size_for("hidden_dim", 100), size_for("input_dim", (3, 32, 32)), size_for("pad", 0), size_for("p", 0.5)
    (5, (2, 4, 6), 1, None)
    """
    if name.lower() in ("pad", "padding") and default == 0 and type(default) is int:
        return 1
    if name.lower() == "stride" and default == 1:
        return 2
    if isinstance(default, tuple) and len(default) == 3 and re.match(r"in", name):
        return SIZES["C"], SIZES["y"], SIZES["z"]
    value = number_for(name)
    return value if type(value) is type(default) is int and 1 < value < default else None


def number_for(name: str) -> Any:
    """Return the value for an argument that is a number, a flag or a mode, or None if its name is unknown.

    Examples
    --------
    >>> number_for("in_features"), number_for("stride"), number_for("zzz")
    (4, 2, None)
    """
    return next((value for pattern, value in _NUMBERS if pattern.match(name.lower())), None)
