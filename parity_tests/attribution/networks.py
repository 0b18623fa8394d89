"""Networks of the tests, and their twins for Captum by hand."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_base import Model

SIZE = (19, 26)
LABELS = ["cat", "dog", "tabby, tabby cat", "lemon"]


def photos(count: int = 2, height: int = SIZE[0], width: int = SIZE[1], seed: int = 0) -> np.ndarray:
    """Uniform draws in [0, 1], float32 [count, height, width, 3]."""
    return np.random.RandomState(seed).uniform(size=(count, height, width, 3)).astype(np.float32)


def as_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())


class Branching(nn.Module):
    """Functions in the place of modules, and a sum of a branch and of the value before it.

    Attributes:
        tap: holds the sum, for Captum by hand.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.conv3, self.head = nn.Conv2d(6, 5, 3), nn.Linear(5, len(LABELS))
        self.tap = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.conv1(x))
        b = self.tap(F.relu(self.conv2(a)) + a)
        c = F.max_pool2d(b, 2)
        d = torch.tanh(self.conv3(c))
        return self.head(d.mean((2, 3)))


class Modules(nn.Module):
    """A chain of modules, each of which runs once, two of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu1 = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.conv2, self.relu2 = nn.Conv2d(6, 5, 3), nn.ReLU(inplace=True)
        self.head, self.softmax = nn.Linear(5, len(LABELS)), nn.Softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        c = self.relu2(self.conv2(self.pool(self.relu1(self.conv1(x)))))
        return self.softmax(self.head(c.mean((2, 3))))


class Reusing(nn.Module):
    """One ReLU that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.relu = nn.Conv2d(3, 6, 3), nn.Conv2d(6, len(LABELS), 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x)))).mean((2, 3))


class Shared(nn.Module):
    """A ReLU whose input another branch reads, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, len(LABELS), 3), nn.ReLU(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv(x)
        return self.head((self.relu(a) + 0.5 * a).mean((2, 3)))


class Late(nn.Module):
    """A network that reads a value after a ReLU has changed it in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, len(LABELS), 3), nn.ReLU(inplace=True)
        self.conv.weight.data -= self.conv.weight.data.mean((1, 2, 3), keepdim=True)  # values of both signs

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv(x)
        return (self.relu(a) + a).mean((2, 3))


def made(kind: type[nn.Module]) -> tuple[nn.Module, Model]:
    """Returns a network with drawn weights, and the model of it."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = kind().eval()
    model = from_torch(network, (0, 1), image_shape=(*SIZE, 3), labels=LABELS)
    return network, model
