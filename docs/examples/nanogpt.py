"""nanoGPT's character model, with the settings that nanoGPT's README gives for a CPU."""

import math

import numpy as np

import nnscratch as nn

LAYERS, HEADS, FEATURES, CONTEXT, BATCH, STEPS = 4, 4, 128, 64, 12, 2000


def load_tokens():
    text = nn.data.load_austen("pride_and_prejudice")
    tokenizer = nn.data.CharTokenizer.from_text(text)
    tokens = tokenizer.encode(text)
    cut = int(0.9 * len(tokens))
    return tokenizer, tokens[:cut], tokens[cut:]


def make_batches(tokens, rng=0):
    windows = np.lib.stride_tricks.sliding_window_view(tokens, CONTEXT + 1)  # a view: nothing is copied
    return nn.data.Batches(windows[:, :-1], windows[:, 1:], BATCH, rng=rng, drop_last=True)


def make_model(vocab_size, rng=1337):
    rng = np.random.default_rng(rng)
    model = nn.models.TransformerLM(
        vocab_size, FEATURES, HEADS, LAYERS, CONTEXT, tie_weights=True, activation="gelu", bias=False, rng=rng
    )
    for name, p in model.named_parameters():
        if len(p.shape) == 2:  # the weights of LayerNorm stay 1
            last_of_branch = name.endswith(("out_proj.weight", "linear2.weight"))
            p.data[...] = rng.normal(0, 0.02 / math.sqrt(2 * LAYERS) if last_of_branch else 0.02, p.shape)
    return model


def make_trainer(model, steps=STEPS, callbacks=()):
    decay = [p for p in model.parameters() if len(p.shape) >= 2]
    no_decay = [p for p in model.parameters() if len(p.shape) < 2]
    groups = [{"params": decay}, {"params": no_decay, "weight_decay": 0.0}]
    optimizer = nn.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    scheduler = nn.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps, eta_min=1e-4, warmup=100)
    return nn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=1.0, accumulate=1, callbacks=callbacks
    )


if __name__ == "__main__":
    tokenizer, train, valid = load_tokens()
    model = make_model(len(tokenizer))
    trainer = make_trainer(model, callbacks=[nn.training.ProgressBar()])
    trainer.fit(make_batches(train), nn.data.TextBatches(valid, 20, CONTEXT), steps=STEPS, evaluate_every=250)
    print(nn.generate(model, tokenizer, "\n\n", 500, temperature=0.8, top_k=200, rng=0))
