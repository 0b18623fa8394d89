"""Runs Lucent's InceptionV1 in Lucent's environment: `python lucent_worker.py JOB`; the job is a file of `torch.save`.

Its fields: `weights` (Lucent's state_dict), `image` (N, 3, H, W), `range` (the network's values), `layers` (names in
Lucent's network), `trace` (an option of `from_torch`), `normalization` (arguments of `local_response_norm` in the place
of Lucent's own, or None) and `out` (the file for the layers' values, by name).
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from lucent.modelzoo import inceptionv1

from lucid_port.modelzoo.from_torch import from_torch


def main(path: str) -> None:
    """Runs one job."""
    job = torch.load(path)
    torch.set_num_threads(1)
    network = inceptionv1(pretrained=False, redirected_ReLU=False)
    network.load_state_dict(job["weights"], strict=True)
    if job["normalization"] is not None:
        normalize = F.local_response_norm
        F.local_response_norm = lambda x, **_: normalize(x, **job["normalization"])
    model = from_torch(network.eval(), image_value_range=job["range"], trace=job["trace"])
    torch.save(dict(model.activations(job["image"], job["layers"])), job["out"])


if __name__ == "__main__":
    main(sys.argv[1])
