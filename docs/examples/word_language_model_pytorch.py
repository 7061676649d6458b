"""The same model and training in PyTorch, with the names of nnscratch's parameters."""

import torch
from torch import nn
from torch.nn import functional as F


class RNNModel(nn.Module):
    def __init__(self, vocab_size, dropout=0.2):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocab_size, 200)
        self.lstm = nn.LSTM(200, 200, 2, dropout=dropout, batch_first=True)
        self.linear = nn.Linear(200, vocab_size)

    def forward(self, tokens, hidden):
        output, hidden = self.lstm(self.drop(self.embedding(tokens)), hidden)
        return self.linear(self.drop(output)), hidden


def run(model, batches, update):
    """Yield the loss of each batch; the hidden state continues from batch to batch."""
    hidden = None
    for inputs, targets in batches:
        hidden = None if hidden is None else tuple(h.detach() for h in hidden)
        logits, hidden = model(torch.tensor(inputs), hidden)
        loss = F.cross_entropy(logits.flatten(0, 1), torch.tensor(targets).flatten())
        update(loss)
        yield loss.item(), targets.size


def train(model, batches, valid, epochs):
    """Return the training losses of all steps, and the validation loss of each epoch."""
    lr, best, losses, valid_losses = 20.0, None, [], []

    def update(loss):
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(p.grad, alpha=-lr)

    for _ in range(epochs):
        losses += [loss for loss, _ in run(model.train(), batches, update)]
        with torch.no_grad():
            pairs = list(run(model.eval(), valid, lambda loss: None))
        valid_losses.append(sum(loss * n for loss, n in pairs) / sum(n for _, n in pairs))
        if best is None or valid_losses[-1] < best:
            best = valid_losses[-1]
        else:
            lr /= 4.0
    return losses, valid_losses
