"""The jobs with DeZero: its layers, optimisers and hooks, and an alias without which it cannot be imported."""

import itertools

import numpy as np


def build(job, variant):
    setattr(np, "int", int)  # noqa: B010  NumPy 1.24 removed it; DeZero uses it
    import dezero

    jobs = {"lm": lm, "mlp": mlp, "cnn": cnn, "generate": generate, "evaluate": evaluate}
    if job.kind not in jobs:
        reasons = {
            "transformer": "its matmul multiplies only two matrices, not batches of them",
            "gradcheck": "has no gradient checker for models",
        }
        raise NotImplementedError(reasons[job.kind])
    return {"version": dezero.__version__, **jobs[job.kind](job, dezero)}


def linear(layer, weight, bias=None):
    layer.W.data = np.ascontiguousarray(weight.T)
    if bias is not None:
        layer.b.data = bias.copy()


def language_model(job, dezero):
    import dezero.layers as L

    s, w = job.sizes, job.weights()
    H = s["hidden"]

    class LanguageModel(dezero.Model):
        def __init__(self):
            super().__init__()
            self.embedding = L.EmbedID(s["vocab"], s["embed"])
            self.linear = L.Linear(s["vocab"], in_size=H)
            for k in range(s["layers"]):
                setattr(self, f"lstm{k}", L.LSTM(H, s["embed"] if k == 0 else H))

        def forward(self, tokens):  # (N,): one step
            x = self.embedding(tokens)
            for k in range(s["layers"]):
                x = getattr(self, f"lstm{k}")(x)
            return self.linear(x)

        def reset_state(self):
            for k in range(s["layers"]):
                getattr(self, f"lstm{k}").reset_state()

    model = LanguageModel()
    model.embedding.W.data = w["embedding.weight"].copy()
    linear(model.linear, w["linear.weight"], w["linear.bias"])
    for k in range(s["layers"]):
        bias = w[f"lstm.bias_ih_l{k}"] + w[f"lstm.bias_hh_l{k}"]  # DeZero has one bias, the sum of the two
        for g, gate in enumerate("ifuo"):
            rows = slice(g * H, (g + 1) * H)
            layer = getattr(model, f"lstm{k}")
            linear(getattr(layer, f"x2{gate}"), w[f"lstm.weight_ih_l{k}"][rows], bias[rows])
            linear(getattr(layer, f"h2{gate}"), w[f"lstm.weight_hh_l{k}"][rows])
    return model


def lm(job, dezero):
    import dezero.functions as F

    model, T = language_model(job, dezero), job.sizes["steps"]
    optimizer = dezero.optimizers.Adam().setup(model)
    optimizer.add_hook(dezero.optimizers.ClipGrad(5.0))
    batches = itertools.cycle(job.batches())

    def step():
        x, y = next(batches)
        loss = 0
        for t in range(T):
            loss = loss + F.softmax_cross_entropy(model(x[:, t]), y[:, t])
        loss = loss / np.float32(T)
        model.cleargrads()
        loss.backward()
        loss.unchain_backward()
        optimizer.update()
        return float(loss.data)

    return {"step": step}


def training(job, dezero, model, optimizer):
    import dezero.functions as F

    optimizer, batches = optimizer.setup(model), itertools.cycle(job.batches())

    def step():
        x, y = next(batches)
        loss = F.softmax_cross_entropy(model(x), y)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return float(loss.data)

    return {"step": step}


def mlp(job, dezero):
    import dezero.functions as F
    from dezero.models import MLP

    model, w = MLP((256, 256, 10), activation=F.relu), job.weights()
    model(job.batches(1)[0][0])  # creates the weight arrays
    for k, layer in enumerate(model.layers):
        linear(layer, w[f"{2 * k}.weight"], w[f"{2 * k}.bias"])
    return training(job, dezero, model, dezero.optimizers.SGD(0.1))


def cnn(job, dezero):
    import dezero.functions as F
    import dezero.layers as L

    class CNN(dezero.Model):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = L.Conv2d(16, 3, pad=1, in_channels=1), L.Conv2d(32, 3, pad=1, in_channels=16)
            self.fc = L.Linear(10, in_size=32 * 7 * 7)

        def forward(self, x):
            for layer in (self.conv1, self.conv2):
                x = F.pooling(F.relu(layer(x)), 2, 2)
            return self.fc(F.reshape(x, (len(x), -1)))

    model, w = CNN(), job.weights()
    for layer, k in ((model.conv1, 0), (model.conv2, 3)):
        layer.W.data, layer.b.data = w[f"{k}.weight"], w[f"{k}.bias"]
    linear(model.fc, w["7.weight"], w["7.bias"])
    return training(job, dezero, model, dezero.optimizers.Adam())


def generate(job, dezero):
    import dezero.functions as F

    model, rng = language_model(job, dezero), np.random.default_rng(0)

    def step():
        model.reset_state()
        with dezero.no_grad():
            for token in range(5):
                logits = model(np.array([token]))
            for k in range(job.per):
                p = F.softmax(logits / np.float32(0.8)).data[0].astype(np.float64)
                token = rng.choice(len(p), p=p / p.sum())
                if k + 1 < job.per:
                    logits = model(np.array([token]))
        return token

    def check():
        model.reset_state()
        with dezero.no_grad():
            return [float(model(np.array([token])).data.max()) for token in range(5)]

    return {"step": step, "check": check}


def evaluate(job, dezero):
    import dezero.functions as F

    model, s, tokens = language_model(job, dezero), job.sizes, job.text()
    N = s["batch"]
    length = (len(tokens) - 1) // N
    inputs, targets = tokens[: N * length].reshape(N, length), tokens[1 : N * length + 1].reshape(N, length)

    def step():
        model.reset_state()
        with dezero.no_grad():
            losses = [F.softmax_cross_entropy(model(inputs[:, t]), targets[:, t]).data for t in range(length)]
        return float(np.mean(losses))

    return {"step": step, "check": lambda: [step()]}
