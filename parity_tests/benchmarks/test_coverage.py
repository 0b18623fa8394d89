"""Networks of each kind of `benchmarks/coverage.py` pass all of its checks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage.py"

NETWORKS = """torchvision/resnet18 torchvision/vit_b_16 torchvision/swin_t torchvision/lraspp_mobilenet_v3_large
    timm/convnext_atto_rms timm/deit_tiny_patch16_224 timm/pvt_v2_b0 transformers/DeiTForImageClassification
    transformers/SegformerForImageClassification transformers/ConvNextForImageClassification
    channels/resnet18_of_5_channels other_inputs/waveform"""


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS.split())
def test_a_network_passes_every_check(network: str, tmp_path: Path) -> None:
    output, name = tmp_path / "results.json", network.replace("_of_5_", " of 5 ").replace("other_", "other ")
    command = [sys.executable, str(BENCHMARK), name, "--workers", "1", "--output", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert f"1/1 {name}: passes" in run.stdout.splitlines(), run.stdout
    (found,) = json.loads(output.read_text())["networks"]
    assert found["modules"] > 5
    assert found["units_right"] > 5
