"""Warnings name the line of the user, however deep in the project they are raised."""

from __future__ import annotations

import pytest

from lucid_port.optvis import param, render
from parity_tests.optvis.tiny import TinyModel


@pytest.mark.parametrize(
    ("words", "call"),
    [
        (
            "outside the",
            lambda: render.render_vis(
                TinyModel(), "mixed:1", lambda: param.pixel_image((1, 8, 9, 3), sd=2.0), transforms=[], thresholds=(1,)
            ),
        ),
        ("does nothing on device", lambda: render.make_vis_T(TinyModel(), "mixed:1", precision="tf32")),
        ("`sd` is not used", lambda: param.pixel_image((1, 8, 9, 3), sd=1.0, init_val=0.5)),
        ("did not change", lambda: render.render_many(TinyModel(), lambda T: 0 * T("mixed").sum(), size=8, steps=17)),
    ],
)
def test_a_warning_names_the_line_of_the_user(words, call):
    with pytest.warns(Warning, match=words) as found:
        call()
    (warning,) = [one for one in found if words in str(one.message)]
    assert warning.filename == __file__
