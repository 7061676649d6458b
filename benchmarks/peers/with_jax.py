"""The jobs with JAX: everything under jit, lax.scan for the recurrence, donated parameters and moments."""

import itertools

import numpy as np


def build(job, variant):
    import jax

    jobs = {"lm": lm, "mlp": mlp, "cnn": cnn, "transformer": transformer, "generate": generate, "evaluate": evaluate}
    if job.kind not in jobs:
        raise NotImplementedError("checks gradients along random directions only, not every element")
    return {"version": jax.__version__, **jobs[job.kind](job)}


def parameters(job):
    import jax.numpy as jnp

    return {name: jnp.asarray(w) for name, w in job.weights().items()}


def lstm(p, layers, x, state):
    """x (N, T, D), state (h, c) of (layers, N, H) -> y (N, T, H), state."""
    import jax
    import jax.numpy as jnp

    x, hs, cs = x.transpose(1, 0, 2), [], []
    for k in range(layers):
        bias = p[f"lstm.bias_ih_l{k}"] + p[f"lstm.bias_hh_l{k}"]
        z_x, W = x @ p[f"lstm.weight_ih_l{k}"].T + bias, p[f"lstm.weight_hh_l{k}"].T  # one product for all steps

        def cell(carry, z, W=W):
            h, c = carry
            i, f, g, o = jnp.split(z + h @ W, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        (h, c), x = jax.lax.scan(cell, (state[0][k], state[1][k]), z_x)
        hs.append(h)
        cs.append(c)
    return x.transpose(1, 0, 2), (jnp.stack(hs), jnp.stack(cs))


def language_model(p, layers, tokens, state):
    y, state = lstm(p, layers, p["embedding.weight"][tokens], state)
    return y @ p["linear.weight"].T + p["linear.bias"], state


def cross_entropy(logits, targets):
    import jax
    import jax.numpy as jnp

    logits = logits.reshape(-1, logits.shape[-1])
    at = jnp.take_along_axis(logits, targets.reshape(-1, 1), axis=1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=1) - at).mean()


def no_state(job, batch):
    import jax.numpy as jnp

    shape = (job.sizes["layers"], batch, job.sizes["hidden"])
    return jnp.zeros(shape), jnp.zeros(shape)


def adam(p, grads, m, v, t, max_norm):
    """Compute the same as PyTorch's Adam, with clipping."""
    import jax
    import jax.numpy as jnp

    tree = jax.tree_util.tree_map
    if max_norm is not None:
        norm = jnp.sqrt(sum((g * g).sum() for g in jax.tree_util.tree_leaves(grads)))
        scale = jnp.minimum(1.0, max_norm / (norm + 1e-6))
        grads = tree(lambda g: g * scale, grads)
    m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    bias1, bias2 = 1 - 0.9**t, 1 - 0.999**t
    p = tree(lambda p, m, v: p - 1e-3 / bias1 * m / (jnp.sqrt(v / bias2) + 1e-8), p, m, v)
    return p, m, v


def training(job, loss_of, max_norm, state=()):
    """loss_of(p, x, y, state) -> (loss, state)."""
    import jax
    import jax.numpy as jnp

    def update(p, m, v, t, state, x, y):
        (loss, state), grads = jax.value_and_grad(loss_of, has_aux=True)(p, x, y, state)
        p, m, v = adam(p, grads, m, v, t, max_norm)
        return p, m, v, state, loss

    update = jax.jit(update, donate_argnums=(0, 1, 2))
    p = parameters(job)
    m, v = ({name: jnp.zeros_like(w) for name, w in p.items()} for _ in range(2))
    batches = itertools.cycle([(jnp.asarray(x), jnp.asarray(y)) for x, y in job.batches()])
    held, t = [p, m, v, state], itertools.count(1)

    def step():
        p, m, v, state, loss = update(*held[:3], np.float32(next(t)), held[3], *next(batches))
        held[:] = p, m, v, state
        return float(loss)

    return {"step": step}


def lm(job):
    layers = job.sizes["layers"]

    def loss_of(p, x, y, state):
        logits, state = language_model(p, layers, x, state)
        return cross_entropy(logits, y), state

    return training(job, loss_of, 5.0, no_state(job, job.sizes["batch"]))


def mlp(job):
    import jax
    import jax.numpy as jnp

    def loss_of(p, x, y):
        for k in (0, 2):
            x = jax.nn.relu(x @ p[f"{k}.weight"].T + p[f"{k}.bias"])
        return cross_entropy(x @ p["4.weight"].T + p["4.bias"], y)

    def update(p, x, y):
        loss, grads = jax.value_and_grad(loss_of)(p, x, y)
        return {name: p[name] - 0.1 * grads[name] for name in p}, loss

    update, held = jax.jit(update, donate_argnums=0), [parameters(job)]
    batches = itertools.cycle([(jnp.asarray(x), jnp.asarray(y)) for x, y in job.batches()])

    def step():
        held[0], loss = update(held[0], *next(batches))
        return float(loss)

    return {"step": step}


def cnn(job):
    import jax
    import jax.numpy as jnp

    def loss_of(p, x, y, state):
        for k in (0, 3):
            x = jax.lax.conv(x, p[f"{k}.weight"], (1, 1), "SAME") + p[f"{k}.bias"][:, None, None]
            x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return cross_entropy(x.reshape(len(x), -1) @ p["7.weight"].T + p["7.bias"], y), state

    return training(job, loss_of, None)


def transformer(job):
    import jax
    import jax.numpy as jnp

    s = job.sizes
    D, heads, T = s["embed"], s["heads"], s["steps"]
    mask = np.where(np.tril(np.ones((T, T), dtype=bool)), 0, -np.inf).astype(np.float32)

    def norm(p, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        return x / jnp.sqrt((x * x).mean(axis=-1, keepdims=True) + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    def linear(p, name, x, mark="."):
        return x @ p[f"{name}{mark}weight"].T + p[f"{name}{mark}bias"]

    def loss_of(p, x, y, state):
        N = len(x)
        x = p["embedding.weight"][x] + p["position.weight"]
        for k in range(s["layers"]):
            b = f"blocks.{k}"
            qkv = linear(p, f"{b}.self_attn.in_proj", norm(p, f"{b}.norm1", x), "_").reshape(N, T, 3, heads, D // heads)
            q, k_, v = qkv.transpose(2, 0, 3, 1, 4)
            a = jax.nn.softmax(q @ k_.swapaxes(-1, -2) / np.sqrt(D // heads).astype(np.float32) + mask) @ v
            x = x + linear(p, f"{b}.self_attn.out_proj", a.transpose(0, 2, 1, 3).reshape(N, T, D))
            hidden = jax.nn.gelu(linear(p, f"{b}.linear1", norm(p, f"{b}.norm2", x)), approximate=True)
            x = x + linear(p, f"{b}.linear2", hidden)
        return cross_entropy(norm(p, "norm", x) @ p["linear.weight"].T, y), state

    return training(job, loss_of, 5.0)


def generate(job):
    import jax
    import jax.numpy as jnp

    p, layers = parameters(job), job.sizes["layers"]
    run = jax.jit(lambda p, tokens, state: language_model(p, layers, tokens, state))

    @jax.jit
    def draw(p, tokens, state, key):
        logits, state = language_model(p, layers, tokens, state)
        key, once = jax.random.split(key)
        return jax.random.categorical(once, logits[0, -1] / 0.8).reshape(1, 1), state, key

    keys = [jax.random.PRNGKey(0)]

    def step():
        tokens, state = jnp.arange(5)[None], no_state(job, 1)
        for _ in range(job.per):
            tokens, state, keys[0] = draw(p, tokens, state, keys[0])
            token = int(tokens[0, 0])  # waits for the token, because a user would print it
        return token

    def check():
        state, largest = no_state(job, 1), []
        for token in range(5):
            logits, state = run(p, jnp.array([[token]]), state)
            largest.append(float(logits.max()))
        return largest

    return {"step": step, "check": check}


def evaluate(job):
    import jax
    import jax.numpy as jnp

    p, s = parameters(job), job.sizes

    @jax.jit
    def run(p, x, y, state):
        logits, state = language_model(p, s["layers"], x, state)
        return cross_entropy(logits, y), state

    tokens, N = job.text(), s["batch"]
    length = (len(tokens) - 1) // N
    inputs, targets = tokens[: N * length].reshape(N, length), tokens[1 : N * length + 1].reshape(N, length)

    def step():
        total, state = 0.0, no_state(job, N)
        for start in range(0, length, s["steps"]):
            part = slice(start, start + s["steps"])
            loss, state = run(p, jnp.asarray(inputs[:, part]), jnp.asarray(targets[:, part]), state)
            total += float(loss)
        return total / (length // s["steps"])

    return {"step": step, "check": lambda: [step()]}
