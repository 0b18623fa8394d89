"""The judge: a second, plain network, trained on the same drawings from another seed.

    python -m parity_tests.modelzoo.judge --seed 1 -o runs/judge

It shares only the drawings with TinyInceptionV1, so features that it recognises in a picture are really visible.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lucid_port.modelzoo.tiny.drawings import CLASSES
from lucid_port.modelzoo.tiny.evaluate import confusion, report
from lucid_port.modelzoo.tiny.train import parse_settings, train

FIXTURE = Path(__file__).with_name("judge.safetensors")


class Judge(nn.Module):
    """Six convolutions and the mean over all positions."""

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        stages = [(3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 64, 1), (64, 96, 2), (96, 96, 1)]
        self.features = nn.Sequential(*(part for stage in stages for part in _stage(*stage)))
        self.logits = nn.Linear(96, classes)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Logits (N, classes), in a list as `train` wants them, for (N, 3, H, W) in [0, 1] of any size."""
        x = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
        return [self.logits(self.features(x).mean((2, 3)))]


def _stage(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    kernel = 5 if inputs == 3 else 3
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def read_judge(path: Path = FIXTURE) -> Judge:
    """The judge that comes with the tests."""
    judge = Judge()
    judge.load_state_dict(load_file(path))
    return judge.eval()


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains the judge and writes it; returns the exit code."""
    settings, folder = parse_settings(arguments, __doc__, seed=1)
    torch.manual_seed(settings.seed)
    judge = train(Judge(), settings, folder)
    save_file(judge.state_dict(), folder / FIXTURE.name)
    print(report(confusion(lambda x: judge(x)[-1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
