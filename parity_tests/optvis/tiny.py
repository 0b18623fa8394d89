"""A tiny model that keeps the contract which renders rely on."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


class TinyModel:
    """Three 3x3 convolutions on an image mapped to (-117, 138), with seeded weights."""

    labels = ("none", "some", "many", "all")

    def __init__(self, inplace: bool = False) -> None:
        random = np.random.RandomState(3)

        def kernel(inputs: int, outputs: int) -> torch.nn.Parameter:
            values = random.randn(3, 3, inputs, outputs).astype(np.float32) * np.float32(0.1)
            return torch.nn.Parameter(torch.from_numpy(values.transpose(3, 2, 0, 1).copy()))

        kernels = {"conva": kernel(3, 4), "m_1x1": kernel(4, 2), "m_3x3": kernel(4, 3)}
        self.network = torch.nn.ParameterDict(kernels)
        self.inplace = inplace
        self.calls: list[list[str]] = []

    def _layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return F.relu(F.conv2d(x, self.network[name], padding=1), inplace=self.inplace)

    def activations(self, image, names):
        self.calls.append(list(names))
        first = self._layer("conva", -117 + image * 255)
        values = {"conva": first}
        if "mixed" in names:
            towers = [self._layer("m_1x1", first), self._layer("m_3x3", first), first]
            values["mixed"] = torch.cat(towers, 1)
        values["head"] = values.get("mixed", first).mean((2, 3))
        return {name: values[name] for name in names}
