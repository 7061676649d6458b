"""The word_language_model of PyTorch's examples, with its default settings: an LSTM on words."""

import nnscratch as nn


def load_tokens(max_size=10_000):
    train, valid, test = nn.data.austen_split()
    tokenizer = nn.data.WordTokenizer.from_text(train, max_size=max_size)
    return tokenizer, [tokenizer.encode(text) for text in (train, valid, test)]


def make_batches(tokens, batch_size=20):
    return nn.data.TextBatches(tokens, batch_size, seq_len=35)


def make_model(vocab_size, dropout=0.2, rng=1111):
    model = nn.models.LanguageModel(vocab_size, 200, 200, num_layers=2, dropout=dropout, rng=rng)
    model.embedding.weight.data[...] = nn.init.uniform(model.embedding.weight.shape, 0.1, rng)
    model.linear.weight.data[...] = nn.init.uniform(model.linear.weight.shape, 0.1, rng)
    model.linear.bias.data[...] = 0
    return model


def make_trainer(model, callbacks=()):
    optimizer = nn.optim.SGD(model.parameters(), lr=20.0)
    # The rate is divided by 4 when the validation loss has not improved.
    scheduler = nn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.25, patience=0, threshold=0.0)
    return nn.Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, max_norm=0.25, callbacks=callbacks
    )


if __name__ == "__main__":
    tokenizer, (train, valid, test) = load_tokens()
    model = make_model(len(tokenizer))
    trainer = make_trainer(model, callbacks=[nn.training.ProgressBar("perplexity")])
    trainer.fit(make_batches(train), make_batches(valid, 10), epochs=6)
    loss = nn.evaluate(model, nn.CrossEntropyLoss(), make_batches(test, 10))
    print(f"test perplexity {nn.training.perplexity(loss):.1f}")
    print(nn.generate(model, tokenizer, "it is a truth", 100, rng=0))
