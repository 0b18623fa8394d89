"""Plans: the same request gives the same tasks, parts share them, and records say what is missing."""

import pytest
import torch

from lucid_port.microscope.names import Places
from lucid_port.microscope.plan import LayerPlan, Plan, Records, default_layers, layer_plans, parse_part, part_of
from lucid_port.microscope.settings import Settings
from lucid_port.modelzoo.from_torch import from_torch

PREVIEW = Settings.of("preview")


def plan_of(*layers, techniques=("channel", "neuron"), settings=PREVIEW, model="m"):
    return Plan(tuple(layers), techniques, settings, model, {"deepdream": ""})


def test_units_of_the_grammar_name_layers_too(tiny_model):
    found = layer_plans(tiny_model, units=["mixed4a:3,7-9", "mixed3a:1", "mixed4a:8"])
    assert [(one.name, one.units) for one in found] == [("mixed4a", (3, 7, 8, 9)), ("mixed3a", (1,))]


def test_layers_without_units_have_all(tiny_model):
    (found,) = layer_plans(tiny_model, ["mixed3a"])
    assert (found.total, found.units) == (64, tuple(range(64)))


@pytest.mark.parametrize("text", ["-mixed4a:3", "class:heart", "mixed4a:3 + mixed4b:2", "mixed4a:3[center]"])
def test_other_texts_are_no_choice_of_units(tiny_model, text):
    with pytest.raises(ValueError, match=r"not a choice of units: write LAYER:3,7,20-25"):
        layer_plans(tiny_model, units=text)


def test_a_layer_is_named_once(tiny_model):
    with pytest.raises(ValueError, match="'mixed3a' is named twice"):
        layer_plans(tiny_model, ["mixed3a", "mixed3a"])


def test_a_unit_that_is_missing_is_refused(tiny_model):
    with pytest.raises(ValueError, match="64"):
        layer_plans(tiny_model, units="mixed3a:64")


def test_lucids_list_is_the_default(tiny_model):
    assert default_layers(tiny_model) == [layer.name for layer in tiny_model.layers]


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).relu()


def test_blocks_are_the_default_of_torch_networks():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.Sequential(Block(), Block()), torch.nn.ReLU())
    model = from_torch(network.eval(), image_value_range=(0, 1), image_shape=(16, 17, 3))
    assert default_layers(model) == ["1.0", "1.1"]


def test_networks_without_blocks_have_their_activations():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 5, 3), torch.nn.ReLU())
    model = from_torch(network.eval(), image_value_range=(0, 1), image_shape=(16, 17, 3))
    assert default_layers(model) == ["1", "3"]


def test_all_units_belong_to_one_task_of_each_technique():
    tasks = plan_of(LayerPlan("a", 200, tuple(range(200))), LayerPlan("b", 7, (0, 6))).tasks()
    for technique in ("channel", "neuron"):
        own = [task for task in tasks if task.technique == technique]
        units = [(task.layer, unit) for task in own for unit in task.units]
        assert sorted(units) == [("a", unit) for unit in range(200)] + [("b", 0), ("b", 6)]


def test_units_that_are_named_later_keep_the_tasks_of_others():
    few = {task.name for task in plan_of(LayerPlan("a", 200, (3, 100))).tasks() if task.technique}
    all_ = {task.name for task in plan_of(LayerPlan("a", 200, tuple(range(200)))).tasks() if task.technique}
    assert few < all_


@pytest.mark.parametrize("change", [{"model": "n"}, {"settings": Settings.of("preview", seed=1)}])
def test_another_model_or_setting_has_other_keys(change):
    layer = LayerPlan("a", 9, tuple(range(9)))
    one, other = (
        {task.key for task in plan_of(layer, **options).tasks() if task.technique} for options in ({}, change)
    )
    assert not one & other


@pytest.mark.parametrize("count", [1, 3, 16])
def test_parts_share_all_tasks(count):
    tasks = plan_of(LayerPlan("a", 500, tuple(range(500)))).tasks()
    parts = [part_of(tasks, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted((task for part in parts for task in part), key=tasks.index) == tasks
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/2/3", "-1/3"])
def test_other_parts_are_refused(text):
    with pytest.raises(ValueError, match="part"):
        parse_part(text)


def test_records_say_what_is_missing(tmp_path):
    places = Places(tmp_path)
    (task, *_) = plan_of(LayerPlan("a", 9, (1, 2, 5)), techniques=("channel",)).tasks()
    records = Records(places)
    records.add(task, {1: 0.5, 2: None})
    for unit in (1, 5):  # 2 is recorded without its file, 5 has a file without a record
        path = places.render("a", "channel", unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    assert records.missing(task).units == (2, 5)
    assert records.values(task)[1] == 0.5


def test_a_damaged_record_is_as_none(tmp_path):
    (task,) = [one for one in plan_of(LayerPlan("a", 1, (0,))).tasks() if one.part == "deepdream"]
    records = Records(Places(tmp_path))
    records.add(task, {-1: None})
    assert records.missing(task) is None
    (path,) = (tmp_path / ".state").rglob("*.json")
    path.write_text("{")
    assert records.missing(task) == task
