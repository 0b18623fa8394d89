"""What figures' units are is checked once, before anything is computed, in the same words for every figure."""

from __future__ import annotations

import pytest

from converters.errors import LayerNotFoundError
from converters.frozen.writer import write_graph_def
from lucid_port.figures.base import Settings, Takes, catalogue, find_figure
from lucid_port.figures.collections import PATCHED
from lucid_port.figures.common import SEEDED, TINY, a_class
from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import MODELS
from lucid_port.optvis.render import VisT
from lucid_port.recipes.inputs import named_unit

OWN = {  # for figures that name none of TinyInceptionV1
    "aa-adversarial-table": list(PATCHED),
    "ev-conv1-weights": ["conv2d0:1", "conv2d0:2"],
    "ev-neuron-families": ["mixed3a:1", "mixed3b:1"],
    "vw-weight-nmf": ["mixed4d_5x5:1", "mixed4d_5x5:2"],
    "zi-car-circuit": ["mixed4b:1", "mixed4b:2"],
}


@pytest.fixture(scope="module")
def tiny():
    return open_model(TINY)


@pytest.fixture(scope="module")
def opened(tmp_path_factory, tiny):
    """By its name, each model that comes with the package; and InceptionV1's layers and labels, without its weights."""
    path = tmp_path_factory.mktemp("network") / "InceptionV1.pb"
    write_graph_def(seeded_inceptionv1(), path)
    return {TINY: tiny, SEEDED: open_model(SEEDED), "InceptionV1": MODELS["InceptionV1"](str(path))}


@pytest.fixture
def nothing_is_computed(monkeypatch):
    def not_reached(*_, **__):
        raise AssertionError("the network was run")

    monkeypatch.setattr(VisT, "step", not_reached)
    monkeypatch.setattr(Model, "activations", not_reached)


def units_of(name: str) -> list[str]:
    return OWN.get(name) or find_figure(name).options[TINY]["units"]


def refused(name: str, model: Model, units: list[str]) -> str:
    figure = find_figure(name)
    settings = Settings(model, {**figure.options.get(TINY, {}), "units": units}, 1)
    with pytest.raises((ValueError, LayerNotFoundError)) as error:
        figure.make(settings)
    return str(error.value)


@pytest.mark.parametrize("name", catalogue())
def test_a_unit_that_is_named_twice(name, tiny, nothing_is_computed):
    units = units_of(name)
    again = [*units[:-1], units[-2]] if len(units) > 1 else units * 2
    said = refused(name, tiny, again)
    alone = find_figure(name).takes.most == 1
    if alone:
        assert said.endswith(f"; 2 given: {', '.join(again)}.")
    elif name == "fv-objectives":
        assert "No class of the model is called" in said  # the unit stands where the class belongs
    else:
        assert said == f"The figure takes each unit once: {again[-1]} is given twice."


@pytest.mark.parametrize("name", catalogue())
def test_a_unit_that_is_not_there(name, tiny, nothing_is_computed):
    *others, last = units_of(name)
    layer, colon, _ = last.rpartition(":")
    missing = f"{layer}:9999" if colon else "nothing"
    said = refused(name, tiny, [*others, missing])
    assert "There is no unit 9999" in said or "nothing" in said


@pytest.mark.parametrize("name", catalogue())
def test_no_units(name, tiny, nothing_is_computed):
    assert refused(name, tiny, []) == f"The figure takes {find_figure(name).takes.words}; 0 given: none."


def test_a_unit_by_another_spelling(tiny, nothing_is_computed):
    said = refused("bb-channel-attribution", tiny, ["mixed4a", "heart", str(tiny.labels.index("heart"))])
    assert said.endswith("is heart again.")
    assert "mixed3a:01 is mixed3a:1 again" in refused("fv-channel", tiny, ["mixed3a:1", "mixed3a:01"])


def test_a_layer_without_a_middle(tiny, monkeypatch):
    def not_reached(*_):
        raise AssertionError("something was rendered")

    monkeypatch.setattr(VisT, "step", not_reached)
    assert "has no positions" in refused("fe-high-low", tiny, ["softmax2:1"])


@pytest.mark.parametrize(
    ("units", "words"),
    [
        (["mixed3a:1", "mixed3a:2", "mixed3a:3"], "takes pairs; 3 given"),
        (["mixed3a:1", "mixed3a:1"], "mixed3a:1 is given twice"),
        (["mixed3a:1", "mixed3a:2"] * 2, "the pair mixed3a:1, mixed3a:2 is given twice"),
    ],
)
def test_pairs(tiny, units, words):
    takes = Takes("pairs", [named_unit], pairs=True)
    takes.check(tiny, ["mixed3a:1", "mixed3a:2", "mixed3a:1", "mixed3a:3"])
    with pytest.raises(ValueError, match=words):
        takes.check(tiny, units)


@pytest.mark.parametrize("name", catalogue())
def test_figures_take_the_units_that_they_name(name, opened):
    figure = find_figure(name)
    for model, options in figure.options.items():
        if model in opened and "units" in options:
            figure.takes.check(opened[model], options["units"])


@pytest.mark.parametrize("name", ["fv-objectives", "bb-channel-attribution", "bb-neuron-groups"])
def test_a_network_without_labels_is_asked_for_the_same_classes_by_number(name, opened):
    figure = find_figure(name)
    by_label, by_number = (figure.options[model]["units"][1:] for model in ("InceptionV1", SEEDED))
    assert [a_class(opened["InceptionV1"], one) for one in by_label] == [int(one) for one in by_number]
