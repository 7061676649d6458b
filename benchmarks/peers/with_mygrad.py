"""The jobs with MyGrad, an autograd library: tensors record the operations applied to them."""

import itertools

from .by_hand import Adam, clip, lstm_logits, no_state


def build(job, variant):
    import mygrad

    reasons = {
        "transformer": "has no layers from which to build a Transformer",
        "generate": "without gradients it is plain NumPy",
        "evaluate": "without gradients it is plain NumPy",
        "gradcheck": "has no gradient checker to import",
    }
    if job.kind in reasons:
        raise NotImplementedError(reasons[job.kind])
    mygrad.turn_memory_guarding_off()  # recommended by its documentation for speed
    return {"version": mygrad.__version__, **{"lm": lm, "mlp": mlp, "cnn": cnn}[job.kind](job)}


def training(job, loss_of, learn):
    """loss_of(p, x, y) -> loss; learn(w, grads) changes the weights."""
    import mygrad as mg

    w, batches = job.weights(), itertools.cycle(job.batches())
    learn = learn(w)

    def step():
        p = {name: mg.tensor(value, copy=False) for name, value in w.items()}
        loss = loss_of(p, *next(batches))
        loss.backward()
        learn({name: tensor.grad for name, tensor in p.items()})
        return float(loss.data)

    return {"step": step}


def lm(job):
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid
    from mygrad.nnet.losses import softmax_crossentropy

    layers, held = job.sizes["layers"], [no_state(job)]

    def loss_of(p, x, y):
        logits, state = lstm_logits(mg, sigmoid, p, layers, x, held[0])
        held[0] = [tuple(s.data for s in pair) for pair in state]  # arrays without their graph
        return softmax_crossentropy(logits, y.T.reshape(-1))

    def learn(w):
        optimizer = Adam(w)

        def step(grads):
            clip(grads, 5.0)
            optimizer.step(grads)

        return step

    return training(job, loss_of, learn)


def mlp(job):
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    def loss_of(p, x, y):
        for k in (0, 2):
            x = relu(mg.matmul(x, p[f"{k}.weight"].T) + p[f"{k}.bias"])
        return softmax_crossentropy(mg.matmul(x, p["4.weight"].T) + p["4.bias"], y)

    def learn(w):
        def step(grads):
            for name in w:
                w[name] -= 0.1 * grads[name]

        return step

    return training(job, loss_of, learn)


def cnn(job):
    import mygrad as mg
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    def loss_of(p, x, y):
        for k in (0, 3):
            bias = p[f"{k}.bias"].reshape(1, -1, 1, 1)
            x = max_pool(relu(conv_nd(x, p[f"{k}.weight"], stride=1, padding=1) + bias), (2, 2), 2)
        return softmax_crossentropy(mg.matmul(x.reshape(len(x), -1), p["7.weight"].T) + p["7.bias"], y)

    return training(job, loss_of, lambda w: Adam(w).step)
