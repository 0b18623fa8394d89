"""Trains TinyInceptionV1 on pictures drawn on the fly.

    python -m lucid_port.modelzoo.tiny.train --seed 0 -o runs/tiny

No picture is seen in two blocks; the same seed, thread count, machine and versions give the same weights bit for bit.
A run that was stopped goes on from its last checkpoint, with the same result.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from lucid_port.modelzoo.tiny.drawings import CLASSES, draw_block
from lucid_port.modelzoo.tiny.network import SIZE, TinyInception

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"
BLOCKS_OF_A_SEED = 10_000_000
BATCHES_OF_A_BLOCK = 28
SAVE_EVERY = 100  # batches


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result.

    Attributes:
        seed: of the initial weights and of all drawings.
        steps: number of updates.
        batch: pictures of an update.
        size: height and width of the pictures.
        first: updates of the first phase, on small pictures as they are; the rest are of the second phase, on pictures
            of full size that are perturbed against the network.
        small: height and width of the pictures of the first phase, which is quicker for it.
        replays: updates on each batch of the second phase; from one to the next the perturbation follows the gradient.
        perturbation: greatest root mean square of what is added to a picture.
        rate: greatest learning rate; it rises over `warmup` updates and falls as a cosine to zero.
        warmup: updates.
        decay: weight decay of all weights, not of biases and normalisations.
        auxiliary: weight of the auxiliary heads' losses.
        threads: of torch; another number rounds differently.
    """

    seed: int = 0
    steps: int = 4200
    batch: int = 32
    size: int = SIZE
    first: int = 3024
    small: int = 64
    replays: int = 2
    perturbation: float = 0.02
    rate: float = 3e-3
    warmup: int = 300
    decay: float = 0.05
    auxiliary: float = 0.3
    threads: int = 1

    @property
    def block(self) -> int:
        """Pictures that are drawn at a time."""
        return BATCHES_OF_A_BLOCK * self.batch

    def updates(self, step: int) -> int:
        """How many updates the batch gets that comes at a step."""
        return 1 if step < self.first else min(self.replays, self.steps - step)

    def batch_index(self, step: int) -> int:
        """How many batches came before a step."""
        return min(step, self.first) + max(0, step - self.first) // self.replays


def train(network: nn.Module, settings: Settings, folder: Path, quiet: bool = False) -> nn.Module:
    """Trains a network that gives a list of logits, the last of which count fully.

    Args:
        network: freshly made with `torch.manual_seed(settings.seed)`.
        settings: what decides the result.
        folder: where the checkpoint, the log and at last the weights are kept.
        quiet: show no progress.

    Returns:
        The network, in evaluation mode.

    Raises:
        ValueError: the folder holds a run with other settings.
    """
    torch.set_num_threads(settings.threads)
    folder.mkdir(parents=True, exist_ok=True)
    network.train()
    optimizer = _optimizer(network, settings)
    start = _resume(network, optimizer, settings, folder / CHECKPOINT)
    bar = tqdm(total=settings.steps, initial=start, unit="step", disable=quiet, mininterval=5)
    logged, correct, since = 0.0, 0.0, 0
    for step, (pictures, labels) in _batches(settings, start):
        loss, hits = _replay(network, optimizer, settings, step, pictures, labels)
        logged, correct, since = logged + loss, correct + hits, since + 1
        done = step + settings.updates(step)
        bar.update(done - step)
        if since >= SAVE_EVERY or done >= settings.steps:
            bar.set_postfix(loss=f"{logged / since:.3f}", accuracy=f"{correct / since:.3f}")
            line = {"step": done, "loss": logged / since, "accuracy": correct / since, "time": time.time()}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            _save(folder / CHECKPOINT, network, optimizer, settings, done)
            logged, correct, since = 0.0, 0.0, 0
    bar.close()
    _write(folder / WEIGHTS, {"network": network.state_dict(), "settings": asdict(settings), "classes": CLASSES})
    return network.eval()


def _replay(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    step: int,
    pictures: Tensor,
    labels: Tensor,
) -> tuple[float, float]:
    """The updates on one batch, from the second on with a perturbation against the network.

    One backward pass gives both the weights' gradient and the next perturbation ("free" adversarial training, Shafahi
    et al. 2019). Networks trained so have gradients that show the shapes they know, not specks.
    """
    greatest = settings.perturbation * math.sqrt(pictures[0].numel())
    size = greatest * torch.linspace(0, 1, len(pictures)).reshape(-1, 1, 1, 1)
    perturbation, loss, hits = torch.zeros_like(pictures), 0.0, 0.0
    updates = settings.updates(step)
    for replay in range(updates):
        _set_rate(optimizer, settings, step + replay)
        x = (pictures + perturbation).clamp_(0, 1).requires_grad_(replay + 1 < updates)
        *others, logits = network(x)
        total = F.cross_entropy(logits, labels)
        for other in others:
            total = total + settings.auxiliary * F.cross_entropy(other, labels)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if replay == 0:
            loss, hits = float(total.detach()), float((logits.detach().argmax(1) == labels).float().mean())
        if x.grad is not None:
            perturbation = perturbation + size * _unit(x.grad)
            perturbation = perturbation * (size / _norm(perturbation)).clamp(max=1)
    return loss, hits


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).clamp(min=1e-12).reshape(-1, 1, 1, 1)


def _unit(x: Tensor) -> Tensor:
    return x / _norm(x)


def _batches(settings: Settings, start: int) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
    """(step, (pictures, labels)) for every batch from a step on."""
    drawn: tuple[int, Any] = (-1, None)
    step = start
    while step < settings.steps:
        block, part = divmod(settings.batch_index(step), BATCHES_OF_A_BLOCK)
        if drawn[0] != block:
            size = settings.small if block * BATCHES_OF_A_BLOCK < settings.first else settings.size
            drawn = block, draw_block(settings.block, (size, size), settings.seed * BLOCKS_OF_A_SEED + block)
        chosen = slice(part * settings.batch, (part + 1) * settings.batch)
        yield step, (drawn[1][0][chosen], drawn[1][1][chosen])
        step += settings.updates(step)


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.rate, fused=True)


def _set_rate(optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    rising = min(1.0, (step + 1) / settings.warmup)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / settings.steps))
    for group in optimizer.param_groups:
        group["lr"] = settings.rate * rising * falling


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    _write(path, {**state, "settings": asdict(settings), "step": step})


def _write(path: Path, state: dict[str, Any]) -> None:
    """Writes a file, which appears whole or not at all."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, path: Path) -> int:
    """Takes up a checkpoint if there is one; the step to go on from."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != asdict(settings):
        raise ValueError(f"{path} is of a run with other settings: {state['settings']}. Name another folder.")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def add_settings(parser: argparse.ArgumentParser, defaults: Settings) -> None:
    """Adds an option for every setting, and the folder."""
    for name, default in asdict(defaults).items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"(default {default})")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that options say."""
    return Settings(**{name: getattr(options, name) for name in asdict(Settings())})


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_settings(parser, Settings())
    options = parser.parse_args(arguments)
    settings = settings_of(options)
    torch.manual_seed(settings.seed)
    train(TinyInception(len(CLASSES)), settings, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
