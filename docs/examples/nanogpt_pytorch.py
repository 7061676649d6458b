"""The same model and training in PyTorch, with the names of nnscratch's parameters."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, features, heads):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(features, bias=False) for _ in range(2))
        self.self_attn = nn.MultiheadAttention(features, heads, bias=False, batch_first=True)
        self.linear1 = nn.Linear(features, 4 * features, bias=False)
        self.linear2 = nn.Linear(4 * features, features, bias=False)

    def forward(self, x, later):
        n = self.norm1(x)
        x = x + self.self_attn(n, n, n, attn_mask=later, need_weights=False)[0]
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocab_size, features, heads, layers, context):
        super().__init__()
        self.embedding, self.position = nn.Embedding(vocab_size, features), nn.Embedding(context, features)
        self.blocks = nn.ModuleList(Block(features, heads) for _ in range(layers))
        self.norm, self.linear = nn.LayerNorm(features, bias=False), nn.Linear(features, vocab_size, bias=False)
        self.linear.weight = self.embedding.weight

    def forward(self, tokens):
        T = tokens.shape[1]
        later = torch.ones(T, T, dtype=torch.bool).triu(1)
        x = self.embedding(tokens) + self.position.weight[:T]
        for block in self.blocks:
            x = block(x, later)
        return self.linear(self.norm(x))


def learning_rate(step, steps, highest=1e-3, lowest=1e-4, warmup=100):
    if step < warmup:
        return highest * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / (steps - warmup))
    return lowest + 0.5 * (1.0 + math.cos(math.pi * progress)) * (highest - lowest)


def train(model, batches, steps, total_steps):
    """Yield the loss of each step."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    for step, (inputs, targets) in zip(range(steps), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, total_steps)
        logits = model(torch.from_numpy(inputs))
        loss = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield loss.item()
