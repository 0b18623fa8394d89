"""Layers that cannot have pages are refused before anything is noted."""

import pytest
from torch import nn

from lucid_port.microscope.examples import check_layers
from lucid_port.microscope.names import Places
from lucid_port.microscope.run import make_site
from lucid_port.modelzoo import from_torch

pytestmark = pytest.mark.usefixtures("tiny_quality")


class Windows(nn.Module):
    """Splits an image into four windows, as a Swin transformer does."""

    def __init__(self):
        super().__init__()
        self.conv, self.inner = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 1)

    def forward(self, x):
        x = self.conv(x)
        n, c, h, w = x.shape
        windows = x.reshape(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5).reshape(4 * n, c, h // 2, w // 2)
        return self.inner(windows).mean((2, 3)).reshape(n, 4, c).mean(1)


def test_a_layer_of_windows_is_refused_and_the_site_goes_on_without_it(drawings, tmp_path):
    model = from_torch(Windows().eval(), (0, 1), image_shape=(32, 24, 3))
    make_site(model, tmp_path, drawings, units=["conv:0"], executor="here", verbose=False)
    before = (Places(tmp_path).state / "site.json").read_bytes()
    with pytest.raises(ValueError, match="'inner' splits an image into windows"):
        make_site(model, tmp_path, units=["inner:0"], data=drawings, executor="here", verbose=False)
    assert (Places(tmp_path).state / "site.json").read_bytes() == before
    assert make_site(model, tmp_path, data=drawings, executor="here", verbose=False) is not None


def test_layers_of_all_sizes_are_taken(tiny_model):
    check_layers(tiny_model, ["conv2d0", "mixed5b", "softmax2"])
