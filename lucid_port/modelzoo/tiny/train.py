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
    """Some updates in a row.

    Attributes:
        steps: updates.
        size: height and width of the pictures.
        rate, since, until: the learning rate, which falls from `rate` at update `since` to zero at update `until` as a
            cosine; these may lie outside of the phase.
        replays: updates on each batch; from one to the next the perturbation follows the gradient.
        perturbation: greatest root mean square of what is added to a picture against the network.
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
        """How many batches are drawn."""
        return -(-self.steps // self.replays)


# Small pictures are quick to learn from; then come pictures of full size, perturbed against the network a little, and
# at a rate that starts anew, twice, more.
PHASES = (
    Phase(3024, 64, 3e-3, 0, 4200),
    Phase(1176, SIZE, 3e-3, 0, 4200, replays=2, perturbation=0.02),
    Phase(1344, SIZE, 1.5e-3, 4200, 5544, replays=3, perturbation=0.03),
    Phase(1344, SIZE, 1.2e-3, 5544, 6888, replays=2, perturbation=0.03),
)


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result.

    Attributes:
        seed: of the initial weights and of all drawings.
        phases: what is done, in order.
        batch: pictures of an update.
        warmup: updates over which the learning rate rises at first.
        decay: weight decay of all weights, not of biases and normalisations.
        auxiliary: weight of the auxiliary heads' losses.
        threads: of torch; another number rounds differently.
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
        """All updates."""
        return sum(phase.steps for phase in self.phases)

    def as_data(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "phases": [asdict(phase) for phase in self.phases]}


@dataclass(frozen=True)
class Batch:
    """Pictures, and what is done with them.

    Attributes:
        step: the first update on them.
        updates: how many there are.
        phase: to which they belong.
        pictures: (N, 3, H, W) in [0, 1].
        labels: (N,).
    """

    step: int
    updates: int
    phase: Phase
    pictures: Tensor
    labels: Tensor


def train(network: Network, settings: Settings, folder: Path, quiet: bool = False) -> Network:
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
    """The updates on one batch, from the second on with a perturbation against the network.

    One backward pass gives both the weights' gradient and the next perturbation ("free" adversarial training, Shafahi
    et al. 2019). Networks trained so have gradients that show the shapes they know, not specks.
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
    """All batches from an update on, which has to be the first on a batch."""
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
    return torch.optim.AdamW(groups, fused=True)  # the rate is set at every update


def _set_rate(optimizer: torch.optim.Optimizer, settings: Settings, phase: Phase, step: int) -> None:
    rising = min(1.0, (step + 1) / settings.warmup)
    falling = 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - phase.since) / (phase.until - phase.since)))
    for group in optimizer.param_groups:
        group["lr"] = phase.rate * rising * falling


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, settings: Settings, step: int) -> None:
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    _write(path, {**state, "settings": settings.as_data(), "step": step})


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
    if state["settings"] != settings.as_data():
        raise ValueError(f"{path} is of a run with other settings: {state['settings']}. Name another folder.")
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def parse_settings(arguments: Sequence[str] | None, description: str | None, seed: int) -> tuple[Settings, Path]:
    """The settings and the folder that a command line says."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=seed, help=f"of weights and drawings (default {seed})")
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch (default 1; another number rounds differently)"
    )
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
