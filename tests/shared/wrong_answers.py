"""Wrong answers to the exercises of the notebooks, as changes of their solutions: their checks must refuse them.

In an exercise with a forward pass, the wrong answer changes forward *and* backward, so that backward is right for this
forward: only a check that compares the values of forward can refuse it.
"""

# notebook: exercise: ([(text in the solution, what replaces it), ...], words of the message)
WRONG_ANSWERS: dict[str, dict[str, tuple[list[tuple[str, str]], str]]] = {
    "00": {
        "1": ([("dy.sum(", "dy.mean(")], "Every value is 0.25 times the right one"),
        "2": ([("** 2).sum(axis=2)", "** 2).sum(axis=2) ** 0.5")], "This is the distance, not its square"),
        "3": ([(" * 2 * w", "")], "the slope is"),
    },
    "01": {
        "1": (
            [("(y - t) ** 2 / 2", "(y - t) ** 2"), ("dy = y - t", "dy = 2 * (y - t)")],
            "do not change the loss",
        ),
        "2": ([(" + v * dz2", "")], "The path through v is missing"),
        "3": ([("(y - t) ** 2", "(y - t) ** 2 / 2"), ("2 * (y - t)", "(y - t)")], "do not change it"),
    },
    "02": {
        "1": ([("x[i] = value - h", "x[i] = value"), ("(2 * h)", "h")], "the difference between x + h and x"),
        "2": ([("return 2 /", "return 1 /")], "one step reaches the minimum"),
        "3": ([("f(x + 1j * h).imag / h", "(f(x + 1e-5) - f(x - 1e-5)) / 2e-5")], "as good as a difference"),
    },
    "03": {
        "1": ([("0.1 * x)", "0.2 * x)"), ("0.1 * dy)", "0.2 * dy)")], "For -2 and 3 your forward returns"),
        "2": (
            [("self.g.data * x + self.c.data", "self.g.data * x - self.c.data"), ("+= dy.sum()", "-= dy.sum()")],
            "do not change it",
        ),
        "3": (
            [
                ("    def backward", "    def forward(self, x):\n        self.save_for_backward(x)\n"
                 "        return x @ self.weight.data.T\n\n    def backward"),
                ("        self.bias.grad += drows.sum(axis=0)\n", ""),
            ],
            "is a bias missing",
        ),
    },
    "04": {
        "1": ([(".mean())", ".sum())"), (" / x.size", "")], "This is the sum"),
        "2": (
            [("y = x - np.log", "y = 2 * x - 2 * np.log"), ("dy - np.exp(y)", "2 * dy - 2 * np.exp(y / 2)")],
            "Every value is 2 times the right one",
        ),
        "3": ([("sum() / N", "sum()"), (" / len(q)", "")], "The loss must be"),
    },
    "05": {
        "1": ([("rng.permutation(np.flatnonzero(t == label))", "np.flatnonzero(t == label)")], "draw them at random"),
        "2": ([("(p.argmax(axis=1) == t)[sure]", "(p.argmax(axis=1) == t)")], "counts the refused images too"),
        "3": ([("x + size", "x - size")], "The accuracy rises"),
    },
    "06": {
        "1": ([("shape[1]", "shape[0]")], "The variance should be"),
        "2": ([("f(z) ** 2", "np.abs(f(z))")], "v should be"),
        "3": ([("(y == 0).all(axis=0).sum()", "(y == 0).mean(axis=0).sum()")], "active for some digits is not dead"),
    },
    "07": {
        "1": ([("self.lr / 0.1 * m", "self.lr * m")], "The first step has 0.1 times the right length"),
        "2": ([("m / (1 - beta1**t)", "m")], "The first step must be 0.1"),
        "3": ([("2 / (low + high)", "1 / high")], "there is a better learning rate"),
    },
    "08": {
        "1": ([("1 + noise_size(p) * n", "1 + n")], "For p = 0.2"),
        "2": (
            [
                ("(x * x).mean(", "(x * x).sum("),
                ("(dn * n).mean(", "(dn * n).sum("),
            ],
            "This divides by the root of the sum",
        ),
        "3": ([("k * w_star / (k + weight_decay)", "k * w_star / (k + 2 * weight_decay)")], "the result must be"),
    },
    "09": {
        "1": ([("db += dy_uv.sum(axis=0)", "db += dy_uv.mean(axis=0)")], "The gradient of b is wrong"),
        "2": (
            [
                ("blocks.max(axis=-1)", "blocks.mean(axis=-1)"),
                ("np.put_along_axis(dblocks, largest[..., None], dy[..., None], axis=-1)",
                 "dblocks += dy[..., None] / 4"),
            ],
            "This is the mean of each block",
        ),
        "3": ([("d * (k - 1) + 1", "d * k")], "yours is"),
    },
    "10": {
        "1": ([("    one_hot[:, padding] = 0  # the padding has no row in the product\n", "")], "Row 4 is the padding"),
        "2": ([("counts.sum()", "counts[occurred].size")], "The mean must be 0.333333"),
        "3": ([("2 ** (b * m)", "2**b * m")], "12 bits"),
    },
    "11": {
        "1": (
            [
                ("(1 - a) * h[:, t] + a * s[:, t]", "h[:, t] + a * s[:, t]"),
                ("dh = (1 - a) * dh + dz @ W_hh", "dh = dh + dz @ W_hh"),
            ],
            "For a = 0.3, the array of states must be",
        ),
        "2": ([("min(k, T) / T", "k / T")], "how many of the 3 targets"),
        "3": ([("    if norm > max_norm:\n        for g in gradients:\n            g *= max_norm / norm",
                "    for g in gradients:\n        g *= max_norm / norm")], "must not change"),
    },
    "12": {
        "1": (
            [
                (" + self.bias_ih.data + h @ self.weight_hh.data.T + self.bias_hh.data",
                 " + self.bias_ih.data + h @ self.weight_hh.data.T"),
                ("        self.bias_hh.grad += dz.sum(axis=0)\n", ""),
            ],
            "c' must be",
        ),
        "2": ([("np.log(2) / k", "np.log(2) / (k + 1)")], "not 0.5"),
        "3": (
            [
                ("x @ W_ih.T + b  # (N, 3H)", "x @ W_ih.T + 2 * b"),
                ("du.T @ x, dW_hh, du.sum(axis=0)", "du.T @ x, dW_hh, 2 * du.sum(axis=0)"),
            ],
            "h' must be",
        ),
    },
    "13": {
        "1": ([(" / 8", "")], "100 bytes"),
        "2": ([("    return p / p.sum()", "    return p")], "must sum to one"),
        "3": ([("correlation(units[half:], feature[half:])", "correlation(units, feature)")], "second half only"),
    },
    "14": {
        "1": (
            [(".mean(), (y, target)", ".sum(), (y, target)"), (" / y.size", "")],
            "the loss must be",
        ),
        "2": (
            [("(c * c).sum(", "(c * c).mean("), ("dr * r**3 * c", "dr * r**3 * c / c.shape[1]")],
            "must be",
        ),
        "3": ([("return y + x, cache", "return y - x, cache"), ("return dy + dz", "return -dy + dz")], "must be"),
    },
    "15": {
        "1": ([("return 6 *", "return 2 *")], "it takes"),
        "2": ([("np.multiply(v, lr, out=work)\n    w -= work", "w -= lr * v")], "The function created an array"),
        "3": ([("total / len(h)", "total")], "The loss must be"),
    },
    "16": {
        "1": (
            [("slope - 1)", "0.5 * (slope - 1))"), ("return dy * slope", "return dy * (slope + 1 * (slope == 1)) / 2")],
            "The output on the device must be",
        ),
        "2": ([("values * (values < limit)", "values * (values > limit)")], "The sum"),
        "3": ([("0.5 * (1 + to)", "(1 + to)")], "h must be"),
    },
    "17": {
        "1": ([("return beta * dU", "return dU")], "The gradient of Z is wrong"),
        "2": ([("np.where(later, -np.inf, Z)", "np.where(later, -np.inf, 0.0 * Z)")], "the scores of the tokens"),
        "3": (
            [
                ("x.reshape(N, T, heads, D // heads).transpose(0, 2, 1, 3)",
                 "x.reshape(N, T, D // heads, heads).transpose(0, 3, 1, 2)"),
                ("x.transpose(0, 2, 1, 3)", "x.transpose(0, 2, 3, 1)"),
            ],
            "Head 1 must get the features 3, 4 and 5",
        ),
    },
    "18": {
        "1": (
            [("return a * np.maximum(0, v)", "return 2 * a * np.maximum(0, v)"),
             ("da = dy * np.maximum(0, v)", "dy = 2 * dy\n        da = dy * np.maximum(0, v)")],
            "Every value is 2 times the right one",
        ),
        "2": (
            [
                ("return s * a + (1 - s) * x", "return s * a + (1 - s)"),
                ("dv = dy * (a - x)", "dv = dy * (a - 1)"),
                (" + dy * (1 - s)", ""),
            ],
            "the output of forward must be",
        ),
        "3": (
            [("np.maximum(a, v)", "np.minimum(a, v)"), ("dy * (a >= v), dy * (a < v)", "dy * (a < v), dy * (a >= v)")],
            "This is the smaller of the two",
        ),
    },
    "19": {
        "1": ([('errors="replace"', 'errors="ignore"')], "and become one"),
        "2": ([("min(known, key=rank.get)", "known[0]")], "bc was learned before ab"),
        "3": ([("tokens / other_tokens", "other_tokens / tokens")], "3 times 3 choices"),
    },
    "20": {
        "1": ([(" / np.sqrt(len(q_new))", "")], "the output must be"),
        "2": ([('"bias": weights[f"{prefix}{name}.bias"]', '"bias": 0 * weights[f"{prefix}{name}.bias"]')], "The bias"),
        "3": ([("    return kept / kept.sum()", "    return kept")], "does not sum to 1"),
    },
    "21": {
        "1": ([("dkv.T @ m", "dkv.T @ m / len(m)")], "The gradient of W is wrong"),
        "2": ([(" | (to_predict == IGNORED)", "")], "Two of the four sequences"),
        "3": ([("scores[:, None] + log_p ", "log_p")], "The scores must be sums"),
    },
    "22": {
        "1": ([("(dy * q) @ B", "dy @ B")], "The gradient of p is wrong"),
        "2": ([("s1 * B1, s2 * B2", "B1, B2")], "the sum of both updates"),
        "3": ([("U[:, :r] * sizes[:r]", "U[:, :r]")], "the product B A must equal it"),
    },
    "23": {
        "1": ([("        at[i] = x[i]\n", "")], "Input 0 moves while input 1 is 0"),
        "2": ([(" * factorial(D - 1 - size)", "")], "The values must sum to"),
        "3": ([("by_occlusion = [0, 0]", "by_occlusion = [0.5, 0.5]")], "what is the maximum"),
    },
    "24": {
        "1": ([("(x**2).sum(axis=1)", "(x**2).mean(axis=1)")], "must be"),
        "2": ([("sigma * C * noise", "sigma * noise")], "With C = 10 nothing is clipped"),
        "3": ([("wanted * (groups == a).sum() / cell.sum()", "wanted / cell.mean()")], "must sum to"),
    },
}  # fmt: skip

# More wrong answers to an exercise. Each once got a message that named another mistake.
MORE_WRONG_ANSWERS: dict[str, dict[str, list[tuple[list[tuple[str, str]], str]]]] = {
    "01": {
        "1": [
            ([("dy = y - t", "dy = (y - t) / 2")], "It is half the right value"),
            ([("dw = dz * x", "dw = dz * w")], "The factor next to w is x"),
            ([("(1 - y**2)", "(1 - y)")], "The slope is 1 - y^2"),
            ([("db = dz", "db = dz * x")], "The factor x belongs to dw only"),
        ],
        "2": [
            ([("W1[0, 0] * dz1[0] + W1[1, 0] * dz1[1]", "dz1.sum()")], "have the factors W1"),
            ([("return dv, dx", "return dx, dv")], "This is dx. Return dv first"),
        ],
    },
    "02": {
        "3": [
            ([("f(x + 1j * h).imag / h", "(f(x + 1j * h) / (1j * h)).imag")], "not by ih"),
            ([(".imag / h", " / (1j * h)")], "not f(x + ih) by ih"),
            ([("f(x + 1j * h).imag / h", "(f(x + 1j * h) - f(x)) / (1j * h)")], "leave out the subtraction"),
            ([("f(x + 1j * h).imag / h", "f(x + h) / h")], "Take the step ih"),
            ([("f(x + 1j * h).imag / h", "abs(f(x + 1j * h).imag) / h")], "The sign is wrong"),
        ],
    },
    "04": {
        "1": [
            ([("((1 - t) * p - self.w * t * (1 - p))", "(p - self.w * t)")], "This is p - w t"),
            ([("((1 - t) * p - self.w * t * (1 - p))", "self.w * (p - t)")], "This is w (p - t)"),
            ([("((1 - t) * p - self.w * t * (1 - p))", "(p - t)")], "This is p - t"),
        ],
        "3": [
            ([("+= 1 - self.epsilon", "= 1")], "not 1: the rows must sum to 1"),
            ([("np.full((N, C), self.epsilon / C)", "np.zeros((N, C))"),
              ("1 - self.epsilon", "1 - self.epsilon + self.epsilon / C")], "The wrong classes have q_j = epsilon/C"),
            ([("np.full((N, C), self.epsilon / C)", "np.zeros((N, C))")], "add epsilon/C to every element"),
        ],
    },
    "05": {
        "1": [
            (
                [("[rng.permutation(np.flatnonzero(t == label))[:per_class] for label in np.unique(t)]",
                  "[]\n    for label in np.unique(t):\n        rows = np.where(t == label)\n"
                  "        chosen.append(rng.choice(rows, per_class, replace=False))")],
                "`rows` is a tuple: np.where returns one. Use np.flatnonzero(t == label).",
            ),
            ([("rng.permutation(np.flatnonzero(t == label))[:per_class]",
               "rng.choice(np.flatnonzero(t == label), per_class + 15)")], "times in the second"),
            ([("rng.permutation(np.flatnonzero(t == label))", "rng.permutation((t == label).sum())")],
             "positions within the rows of one class"),
            ([("return np.setdiff1d(np.arange(len(t)), validation), validation",
               "return t[np.setdiff1d(np.arange(len(t)), validation)], t[validation]")], "These are labels"),
            ([("return np.setdiff1d(np.arange(len(t)), validation), validation",
               "return validation, np.setdiff1d(np.arange(len(t)), validation)")], "the validation rows first"),
        ],
        "2": [
            ([("p.max(axis=1)", "p.argmax(axis=1)")], "This compares the predicted class, argmax"),
            ([("sure.mean()", "((p.argmax(axis=1) == t) & sure).mean()")], "This counts only the right answers"),
            ([("p.max(axis=1)", "p[np.arange(len(t)), t]")], "This compares the probability of class t"),
            ([(">=", "<")], "These are the refused images"),
        ],
        "3": [
            ([("    return", "    y = x.copy()\n    y[dx > 0] += size\n    return"),
              ("x + size * np.sign(dx)", "y")], "Every pixel must change"),
            ([("x + size * np.sign(dx)", "x * (1 + size * np.sign(dx))")], "Every pixel must change"),
            ([("x + size * np.sign(dx)", "x + np.where(dx > 0, -size, size)")], "The accuracy rises"),  # float64
        ],
    },
}  # fmt: skip


def wrong_answers(notebook: str, name: str, solution: str) -> list[tuple[str, str]]:
    """Return, for each wrong answer to an exercise, its code and words of the message that must refuse it."""
    found = []
    for changes, words in [WRONG_ANSWERS[notebook][name], *MORE_WRONG_ANSWERS.get(notebook, {}).get(name, [])]:
        answer = solution
        for old, new in changes:
            assert answer.count(old) == 1, f"notebook {notebook}, exercise {name}: {old!r} is not in the solution once"
            answer = answer.replace(old, new)
        found.append((answer, words))
    return found
