"""The same classifier and training in PyTorch, with packed sequences."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class Classifier(nn.Module):
    def __init__(self, vocab_size, embed=32, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed)
        self.lstm = nn.LSTM(embed, hidden, bidirectional=True, batch_first=True)
        self.linear = nn.Linear(2 * hidden, 1)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.linear(torch.cat([h[0], h[1]], dim=1))


def train(model, batches, steps):
    """Return the loss of each step."""
    optimizer, criterion, losses = torch.optim.Adam(model.parameters(), lr=2e-3), nn.BCEWithLogitsLoss(), []
    for _, ((tokens, lengths), labels) in zip(range(steps), batches, strict=False):
        logits = model(torch.from_numpy(tokens), torch.from_numpy(lengths))
        loss = criterion(logits, torch.from_numpy(labels).to(logits.dtype))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
