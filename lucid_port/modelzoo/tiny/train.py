"""Trains TinyInceptionV1 on images drawn on the fly.

    python -m lucid_port.modelzoo.tiny.train --seed 0 -o runs/tiny

Every block of images has its own seed. The same seed, thread count, machine and versions give the same weights bit for
bit. An interrupted run resumes from its last checkpoint, with the same result.
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
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.modelzoo.tiny.drawings import CLASSES, draw_block
from lucid_port.modelzoo.tiny.network import SIZE, TinyInception

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.pt"
BLOCKS_OF_A_SEED = 10_000_000
BATCHES_OF_A_BLOCK = 28
SAVE_EVERY = 100  # batches

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Phase:
    """A phase of the training.

    Attributes:
        steps: number of updates.
        size: height and width of the images in pixels.
        rate, since, until: the learning rate falls as a cosine from `rate` at update `since` to zero at update `until`.
            Both may be outside of the phase.
        replays: number of updates per batch. The adversarial perturbation grows from update to update.
        perturbation: largest root mean square of the adversarial perturbation.
    """

    steps: int
    size: int
    rate: float
    since: int
    until: int
    replays: int = 1
    perturbation: float = 0.0

    @property
    def batches(self) -> int:
        """Number of batches."""
        return -(-self.steps // self.replays)


# The first phase trains on small images, which is fast. The others train on images of full size with adversarial
# perturbations. The last two restart the learning rate, with larger perturbations.
PHASES = (
    Phase(3024, 64, 3e-3, 0, 4200),
    Phase(1176, SIZE, 3e-3, 0, 4200, replays=2, perturbation=0.02),
    Phase(1344, SIZE, 1.5e-3, 4200, 5544, replays=3, perturbation=0.03),
    Phase(1344, SIZE, 1.2e-3, 5544, 6888, replays=2, perturbation=0.03),
)


@dataclass(frozen=True)
class Settings:
    """All settings that determine the result.

    Attributes:
        seed: seed of the initial weights and of all drawings.
        phases: the phases, in order.
        batch: number of images per update.
        warmup: number of updates of the linear warm-up of the learning rate.
        decay: weight decay of weights, but not of biases and batch normalization.
        auxiliary: weight of the losses of the auxiliary heads.
        threads: number of torch's threads, which affects rounding.
    """

    seed: int = 0
    phases: tuple[Phase, ...] = PHASES
    batch: int = 32
    warmup: int = 300
    decay: float = 0.05
    auxiliary: float = 0.3
    threads: int = 1

    @property
    def steps(self) -> int:
        """Total number of updates."""
        return sum(phase.steps for phase in self.phases)

    def as_data(self) -> dict[str, Any]:
        """Converts the settings to data that JSON can hold."""
        return {**vars(self), "phases": [asdict(phase) for phase in self.phases]}


@dataclass(frozen=True)
class Batch:
    """A batch of images and its updates.

    Attributes:
        step: number of its first update.
        updates: number of updates on the batch.
        phase: the phase of the training.
        pictures: (N, 3, H, W) in [0, 1].
        labels: (N,) int64.
    """

    step: int
    updates: int
    phase: Phase
    pictures: Tensor
    labels: Tensor


def train(network: Network, settings: Settings, folder: Path, quiet: bool = False) -> Network:
    """Trains a classifier, or resumes its training.

    Args:
        network: a network that returns a list of logits: those of auxiliary heads, then its own. Initialize it after
            `torch.manual_seed(settings.seed)`.
        settings: the settings.
        folder: folder of the checkpoint, the log and the final weights.
        quiet: show no progress bar.

    Returns:
        The network, in evaluation mode.

    Raises:
        ValueError: the folder contains a run with other settings.
    """
    torch.set_num_threads(settings.threads)
    folder.mkdir(parents=True, exist_ok=True)
    network.train()
    optimizer = _optimizer(network, settings)
    start = _resume(network, optimizer, settings, folder / CHECKPOINT)
    watched = is_watched() and not quiet
    bar = progress_bar(settings.steps, unit=" steps", initial=start, every=5) if watched else None
    logged, correct, since = 0.0, 0.0, 0
    for batch in _batches(settings, start):
        loss, hits = _replay(network, optimizer, settings, batch)
        logged, correct, since = logged + loss, correct + hits, since + 1
        done = batch.step + batch.updates
        if bar is not None:
            bar.update(batch.updates)
        if since >= SAVE_EVERY or done >= settings.steps:
            if bar is not None:
                bar.set_postfix(loss=f"{logged / since:.3f}", accuracy=f"{correct / since:.3f}")
            line = {"step": done, "loss": logged / since, "accuracy": correct / since, "time": time.time()}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            _save(folder / CHECKPOINT, network, optimizer, settings, done)
            logged, correct, since = 0.0, 0.0, 0
    if bar is not None:
        bar.close()
    _write(folder / WEIGHTS, {"network": network.state_dict(), "settings": settings.as_data(), "classes": CLASSES})
    return network.eval()


def _replay(
    network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, batch: Batch
) -> tuple[float, float]:
    """Runs the updates on one batch, with an adversarial perturbation from the second update on.

    One backward pass computes both the gradient of the weights and the next perturbation ("free" adversarial training,
    Shafahi et al. 2019). It gives networks whose input gradients show shapes instead of noise.

    Returns:
        Loss and accuracy of the first update.
    """
    pictures, labels = batch.pictures, batch.labels
    greatest = batch.phase.perturbation * math.sqrt(pictures[0].numel())
    size = greatest * torch.linspace(0, 1, len(pictures)).reshape(-1, 1, 1, 1)
    perturbation, loss, hits = torch.zeros_like(pictures), 0.0, 0.0
    for replay in range(batch.updates):
        _set_rate(optimizer, settings, batch.phase, batch.step + replay)
        x = (pictures + perturbation).clamp_(0, 1).requires_grad_(replay + 1 < batch.updates)
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


def _batches(settings: Settings, start: int) -> Iterator[Batch]:
    """Yields all batches from update `start` on, which must be the first update of a batch."""
    first_step, first_block = 0, 0
    for phase in settings.phases:
        drawn, pictures, labels = -1, torch.empty(0), torch.empty(0)
        for index in range(phase.batches):
            step = first_step + index * phase.replays
            if step < start:
                continue
            block, part = divmod(index, BATCHES_OF_A_BLOCK)
            if drawn != block:
                seed = settings.seed * BLOCKS_OF_A_SEED + first_block + block
                drawn = block
                count = BATCHES_OF_A_BLOCK * settings.batch
                pictures, labels = draw_block(count, (phase.size, phase.size), seed)
            chosen = slice(part * settings.batch, (part + 1) * settings.batch)
            updates = min(phase.replays, phase.steps - index * phase.replays)
            yield Batch(step, updates, phase, pictures[chosen], labels[chosen])
        first_step += phase.steps
        first_block += -(-phase.batches // BATCHES_OF_A_BLOCK)


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, fused=True)  # `_set_rate` sets the learning rate


def _set_rate(optimizer: torch.optim.Optimizer, settings: Settings, phase: Phase, step: int) -> None:
    rising = min(1.0, (step + 1) / settings.warmup)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - phase.since) / (phase.until - phase.since)))
    for group in optimizer.param_groups:
        group["lr"] = phase.rate * rising * falling


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    _write(path, {**state, "settings": settings.as_data(), "step": step})


def _write(path: Path, state: dict[str, Any]) -> None:
    """Saves a file atomically."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, path: Path) -> int:
    """Loads the checkpoint if there is one, and returns the number of the next update."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    if state["settings"] != settings.as_data():
        raise ValueError(
            f"{path} is the checkpoint of a run with other settings, {state['settings']}: choose another folder."
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def parse_settings(arguments: Sequence[str] | None, description: str | None, seed: int) -> tuple[Settings, Path]:
    """Parses the settings and the output folder from a command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=seed, help=f"seed of weights and drawings (default {seed})")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default 1), which affect rounding")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the run")
    options = parser.parse_args(arguments)
    return Settings(seed=options.seed, threads=options.threads), options.output


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    settings, folder = parse_settings(arguments, __doc__, seed=0)
    torch.manual_seed(settings.seed)
    train(TinyInception(len(CLASSES)), settings, folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
