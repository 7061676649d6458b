"""The same network and training in PyTorch. The state dict has the names of nnscratch's model."""

import torch
from torch import nn


class Residual(nn.Sequential):
    def __init__(self, *layers, projection=None):
        super().__init__(*layers)
        self.__dict__["depth"] = len(layers)
        self.projection = projection

    def forward(self, x):
        y = x
        for k in range(self.depth):
            y = self[k](y)
        return y + (x if self.projection is None else self.projection(x))


def block(channels_in, channels, stride):
    f = (
        nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
    )
    projection = None
    if stride != 1 or channels_in != channels:
        conv = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
        projection = nn.Sequential(conv, nn.BatchNorm2d(channels))
    return Residual(*f, projection=projection), nn.ReLU()


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        *block(16, 16, 1),
        *block(16, 32, 2),
        *block(32, 64, 2),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def train(model, batches, steps, total_steps):
    """Return the loss of each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    milestones = [total_steps // 2, 3 * total_steps // 4]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones)
    criterion, losses = nn.CrossEntropyLoss(), []
    while len(losses) < steps:
        for x, y in batches:
            loss = criterion(model(torch.from_numpy(x)), torch.from_numpy(y))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses
