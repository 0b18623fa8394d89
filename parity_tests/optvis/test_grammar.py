"""The grammar of texts that name what to render, and the objectives that they mean."""

import re

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import grammar, objectives, param, render
from lucid_port.optvis.grammar import Channels, Classes, Direction, Dream, Picture, Term

# Forms ------------------------------------------------------------------------------------------


def one(target, weight=1.0):
    return Picture((Term(target, weight),))


def without_positions(pictures):
    return [Picture(tuple(Term(term.target, term.weight) for term in picture.terms)) for picture in pictures]


THREE, EIGHT = Channels("mixed4a", ((3, 3),)), Channels("mixed4b", ((8, 8),))

FORMS = {
    "mixed4a:3": [one(THREE)],
    "  mixed4a : 3  ": [one(THREE)],
    "mixed4a:3,7,10-20": [one(Channels("mixed4a", ((3, 3), (7, 7), (10, 20))))],
    "mixed4a:3 , 10 - 20": [one(Channels("mixed4a", ((3, 3), (10, 20))))],
    "mixed4a:*": [one(Channels("mixed4a", None))],
    "-mixed4a:3": [one(THREE, -1.0)],
    "+mixed4a:3": [one(THREE)],
    "-mixed4a:3,7": [one(Channels("mixed4a", ((3, 3), (7, 7))), -1.0)],
    "0.5*mixed4a:3": [one(THREE, 0.5)],
    "-1e-2 * mixed4a:3": [one(THREE, -0.01)],
    "mixed4a:3+0.5*mixed4b:8": [Picture((Term(THREE), Term(EIGHT, 0.5)))],
    "mixed4a:3 - 2*mixed4b:8": [Picture((Term(THREE), Term(EIGHT, -2.0)))],
    "mixed4a:3-2*mixed4b:8": [Picture((Term(THREE), Term(EIGHT, -2.0)))],
    "mixed4a:3-mixed4b:8": [Picture((Term(THREE), Term(EIGHT, -1.0)))],
    "mixed4a:3,mixed4b:8": [one(THREE), one(EIGHT)],
    "mixed4a:3, -mixed4b:8": [one(THREE), one(EIGHT, -1.0)],
    "0:3,1:4": [one(Channels("0", ((3, 3),))), one(Channels("1", ((4, 4),)))],
    "0.5:3": [one(Channels("0.5", ((3, 3),)))],
    "0.5*0:3": [one(Channels("0", ((3, 3),)), 0.5)],
    "fc8-conv:3": [one(Channels("fc8-conv", ((3, 3),)))],
    "res/3-1/add:3-5": [one(Channels("res/3-1/add", ((3, 5),)))],
    "output:nested:3": [one(Channels("output:nested", ((3, 3),)))],
    "x:0:3": [one(Channels("x:0", ((3, 3),)))],
    "lstm:1:3,4": [one(Channels("lstm:1", ((3, 3), (4, 4))))],
    '"a, b + c":3': [one(Channels("a, b + c", ((3, 3),)))],
    "'class':3": [one(Channels("class", ((3, 3),)))],
    "'prob:':3": [one(Channels("prob:", ((3, 3),)))],
    "'deepdream:class':3": [one(Channels("deepdream:class", ((3, 3),)))],
    "mixed4a:3[4,5]": [one(Channels("mixed4a", ((3, 3),), (4, 5)))],
    "mixed4a:3,7 [ center ]": [one(Channels("mixed4a", ((3, 3), (7, 7)), "center"))],
    "video:3[1,4,5]": [one(Channels("video", ((3, 3),), (1, 4, 5)))],
    "blocks.6:5[class]": [one(Channels("blocks.6", ((5, 5),), "class"))],
    "blocks.6:*[-1]": [one(Channels("blocks.6", None, -1))],
    "class:spiral": [one(Classes("logit", ("spiral",)))],
    "logit:285": [one(Classes("logit", ((285, 285),)))],
    "prob:goldfish": [one(Classes("prob", ("goldfish",)))],
    "class:0-9": [one(Classes("logit", ((0, 9),)))],
    "class:*": [one(Classes("logit", None))],
    'class:"7"': [one(Classes("logit", ("7",)))],
    "class:tabby cat, 3, jack-o'-lantern": [one(Classes("logit", ("tabby cat", (3, 3), "jack-o'-lantern")))],
    "class:'tabby, tabby cat'": [one(Classes("logit", ("tabby, tabby cat",)))],
    "class:spiral,mixed4a:3": [one(Classes("logit", ("spiral",))), one(THREE)],
    "class:spiral - class:dots": [
        Picture((Term(Classes("logit", ("spiral",))), Term(Classes("logit", ("dots",)), -1.0)))
    ],
    "class:spiral+mixed4a:3": [Picture((Term(Classes("logit", ("spiral",))), Term(THREE)))],
    "mixed4a@direction.npy": [one(Direction("mixed4a", "direction.npy"))],
    'mixed4a@"my dir/x, y.npy"': [one(Direction("mixed4a", "my dir/x, y.npy"))],
    "-mixed4a@d-1.npy": [one(Direction("mixed4a", "d-1.npy"), -1.0)],
    "deepdream:mixed4a": [one(Dream("mixed4a"))],
}


@pytest.mark.parametrize("text", FORMS)
def test_forms(text):
    assert without_positions(grammar.parse(text)) == FORMS[text]


@pytest.mark.parametrize("text", FORMS)
def test_a_picture_is_written_as_it_is_read(text):
    for picture in grammar.parse(text):
        assert without_positions(grammar.parse(str(picture))) == without_positions([picture])


MALFORMED = {
    "": (0, "a unit is missing"),
    "   ": (3, "a unit is missing"),
    "mixed4a": (7, "as in 'mixed4a:3', 'mixed4a:*' or 'deepdream:mixed4a'"),
    "mixed4a:": (8, "a channel's number"),
    "mixed4a:x": (8, "a channel's number"),
    "mixed4a:3-": (8, "has no end"),
    "mixed4a:3,7-": (10, "has no end"),
    "mixed4a:7-3": (8, "write 3-7"),
    "mixed4a:3,": (10, "missing behind the comma"),
    "mixed4a:3,,7": (10, "between two commas"),
    "mixed4a:3,x": (10, "a channel's number"),
    "mixed4a:3;7": (8, "a comma separates"),
    "mixed4a:3 7": (10, "a comma, '+' or '-'"),
    "mixed4a:3 mixed4b:4": (10, "a comma, '+' or '-'"),
    "mixed4a:3 & 4": (10, "a comma, '+' or '-'"),
    "mixed4a 3": (8, "as in 'mixed4a:3'"),
    "mixed4a[3]": (7, "as in 'mixed4a:3'"),
    "mixed4a(3)": (7, "as in 'mixed4a:3'"),
    "mixed4a.3": (9, "as in 'mixed4a.3:3'"),
    "mixed4a:[3]": (8, "without brackets"),
    "mixed4a:(3)": (8, "without brackets"),
    ":3": (1, "a layer's name"),
    "mixed4a:-3": (8, "as in '-mixed4a:3'"),
    "mixed4a:1.5": (8, "a whole number"),
    "mixed4a:3e2": (8, "a whole number"),
    "mixed4a:0x3": (8, "a whole number"),
    "mixed4a:1_000": (8, "a whole number"),
    f"mixed4a:{'9' * 19}": (8, "at most 18 digits"),
    f"mixed4a:3,7-{'9' * 5000}": (10, "at most 18 digits"),
    f"class:{'9' * 5000}": (6, "at most 18 digits"),
    f"mixed4a:3[{'9' * 5000}]": (10, "a place is"),
    "mixed4a:\u0663": (8, "a whole number"),
    "mixed4a:all": (8, "as in 'mixed4a:*'"),
    "mixed4a:**": (8, "behind '*'"),
    "mixed4a:*3": (8, "behind '*'"),
    "mixed4a:3*0.5": (8, "as in '0.5*mixed4a:3'"),
    "mixed4a:3/2": (8, "as in '0.5*mixed4a:3'"),
    "0*mixed4a:3": (0, "other than 0"),
    "1e999*mixed4a:3": (0, "other than 0"),
    "0.5 mixed4a:3": (4, "in quotes"),
    "*mixed4a:3": (0, "a unit is expected"),
    "--mixed4a:3": (1, "a unit is expected"),
    "mixed4a:3++mixed4b:1": (10, "a unit is expected"),
    "mixed4a:3+": (10, "a unit is missing"),
    "mixed4a:3 + ": (12, "a unit is missing"),
    "+": (1, "a unit is missing"),
    "mixed4a:3-mixed4b": (17, "as in 'mixed4b:3'"),
    "mixed4a:3,7+mixed4b:1": (10, "one unit in each term"),
    "mixed4a:3+mixed4b:1,2": (10, "one unit in each term"),
    "mixed4a:3+mixed4b:*": (10, "one unit in each term"),
    "mixed4a:3[": (9, "a place is"),
    "mixed4a:3[]": (10, "a place is"),
    "mixed4a:3[1,2,3,4]": (10, "a place is"),
    "mixed4a:3[a b]": (10, "a place is"),
    "mixed4a:3[1.5,2]": (10, "a place is"),
    "mixed4a:3[center][1,2]": (17, "a place is"),
    "[3]": (0, "a unit is expected"),
    "mixed4a@": (8, ".npy"),
    "mixed4a@x.png": (8, "ends in .npy"),
    "mixed4a@dir x.npy": (8, "in quotes"),
    "@x.npy": (0, "a unit is expected"),
    "class:": (6, "a class's label or number"),
    "class:*x": (6, "a class's label or number"),
    "class:3.5": (6, 'put a label in quotes: "3.5"'),
    "class:3-": (6, "has no end"),
    "CLASS:7": (6, "'class', in lower case"),
    "class:goldfish - shark": (17, "as in 'class:shark'"),
    "label:spiral": (6, "as in 'class:spiral'"),
    "mixed4a:3[center],7[center]": (18, "write 3,7[center]"),
    "0,5*mixed4a:3": (1, "a decimal point"),
    "mixed4a:3\u20137": (9, "write '-'"),
    "\u2212mixed4a:3": (0, "write '-'"),
    "\u201cmixed4a\u201d:3": (0, "is no character"),
    "Class:spiral": (6, "'class', in lower case"),
    "class:spi:ral": (9, "in quotes"),
    "class:spiral@3": (12, "a file stands behind a layer"),
    'class:"spiral': (6, "the quotes do not end"),
    '"mixed4a:3': (0, "the quotes do not end"),
    "'':3": (0, "a layer's name"),
    '"mixed4a"': (9, "':' and channels"),
    '"mixed4a" 3': (10, "':' and channels"),
    "deepdream:": (10, "the layer's name"),
    "__import__('os').system('x')": (10, "':' and channels"),
}


def test_there_are_sixty_malformed_texts():
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_texts(text):
    position, words = MALFORMED[text]
    with pytest.raises(grammar.GrammarError) as caught:
        grammar.parse(text)
    message = str(caught.value)
    assert caught.value.position == position, message
    assert words in message
    rest = text[position:].strip()
    assert (f"at character {position + 1} ({rest[:20]!r})" if rest else "at its end") in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_long_text_is_not_repeated_as_a_whole():
    with pytest.raises(
        grammar.GrammarError, match="with 49811 more characters cannot be read at character 50010"
    ) as caught:
        grammar.parse("mixed4a:1" + " " * 50_000 + ":2")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        "a" * 5000,
        "a" * 5000 + "[3]",
        "a" * 5000 + ":-3",
        "class:" + "3." * 3000,
        "class:tabby cat, 3, " + "9" * 5000,
        "label:" + "a" * 5000,
    ],
)
def test_a_long_name_is_not_repeated_as_a_whole(text):
    with pytest.raises(grammar.GrammarError) as caught:
        grammar.parse(text)
    assert len(str(caught.value)) < 1000


def test_a_text_of_several_pictures_is_refused_for_one():
    with pytest.raises(grammar.GrammarError, match="several pictures"):
        grammar.parse_one("mixed4a:3,4")


# Meaning ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny():
    return TinyInceptionV1()


@pytest.fixture(scope="module")
def values(tiny):
    image = torch.rand(2, 3, 75, 91, generator=torch.Generator().manual_seed(0))
    names = ["mixed4a", "mixed3a"]
    found = {name: value.detach() for name, value in tiny.activations(image, names).items()}
    whole = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    scores = tiny.activations(whole, ["softmax2", "softmax2_pre_activation"])
    found |= {name: value.detach() for name, value in scores.items()}
    return {**found, "labels": tiny.labels}


def test_channels_and_sums(tiny, values):
    read = objectives.as_objective("mixed4a:3 - 0.5*mixed3a:8", tiny)(values.get)
    expected = values["mixed4a"][:, 3].mean() - 0.5 * values["mixed3a"][:, 8].mean()
    torch.testing.assert_close(read, expected)


def test_neurons(tiny, values):
    place = objectives.as_objective("mixed4a:3[1,4]", tiny)(values.get)
    torch.testing.assert_close(place, values["mixed4a"][:, 3, 1, 4].mean())
    center = objectives.as_objective("-mixed4a:3[center]", tiny)(values.get)
    height, width = values["mixed4a"].shape[2:]
    torch.testing.assert_close(center, -values["mixed4a"][:, 3, height // 2, width // 2].mean())


def test_tokens():
    tokens = {"blocks.0": torch.arange(12.0).reshape(1, 2, 6)}
    assert objectives.as_objective("blocks.0:1[-1]")(tokens.get) == 11
    assert objectives.as_objective("blocks.0:1[2]")(tokens.get) == 8


def test_classes(tiny, values):
    number = tiny.labels.index("spiral")
    logit = objectives.as_objective("class:spiral", tiny)(values.get)
    torch.testing.assert_close(logit, values["softmax2_pre_activation"][:, number].sum())
    torch.testing.assert_close(objectives.as_objective(f"logit:{number}", tiny)(values.get), logit)
    probability = objectives.as_objective("prob:spiral", tiny)(values.get)
    torch.testing.assert_close(probability, values["softmax2"][:, number].sum())


def test_whole_layers(tiny, values):
    read = objectives.as_objective("deepdream:mixed4a", tiny)(values.get)
    torch.testing.assert_close(read, (values["mixed4a"] ** 2).mean())


def test_directions(tiny, values, tmp_path):
    direction = np.random.default_rng(0).normal(size=values["mixed4a"].shape[1]).astype("f4")
    np.save(tmp_path / "d.npy", direction)
    read = objectives.as_objective(f'mixed4a@"{tmp_path}/d.npy"', tiny)(values.get)
    expected = torch.einsum("nchw,c->nhw", values["mixed4a"], torch.from_numpy(direction)).mean()
    torch.testing.assert_close(read, expected, rtol=1e-4, atol=1e-4)
    patch = np.tile(direction, (2, 2, 1))
    np.save(tmp_path / "patch.npy", patch)
    read = objectives.as_objective(f'mixed4a@"{tmp_path}/patch.npy"', tiny)(values.get)
    height, width = values["mixed4a"].shape[2:]
    top, left = (height - 2) // 2, (width - 2) // 2
    window = values["mixed4a"][:, :, top : top + 2, left : left + 2]
    expected = torch.einsum("nchw,c->nhw", window, torch.from_numpy(direction)).mean()
    torch.testing.assert_close(read, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("array", [np.zeros((4, 5)), np.zeros(3, bool), np.zeros((1, 2, 3, 4, 5))])
def test_arrays_that_are_no_direction(tiny, tmp_path, array):
    np.save(tmp_path / "d.npy", array)
    with pytest.raises(ValueError, match="has no direction"):
        objectives.as_objective(f'mixed4a@"{tmp_path}/d.npy"', tiny)


def test_a_direction_with_pickled_objects_runs_nothing(tiny, tmp_path):
    np.save(tmp_path / "d.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        objectives.as_objective(f'mixed4a@"{tmp_path}/d.npy"', tiny)


def test_a_class_needs_a_model():
    with pytest.raises(ValueError, match="'class:spiral' needs a model"):
        objectives.as_objective("class:spiral")


def test_a_wrong_label_is_answered_with_near_ones(tiny):
    with pytest.raises(ValueError, match="Did you mean spiral"):
        objectives.as_objective("class:spirl", tiny)


class Plain(torch.nn.Module):
    """A network that returns logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def plain():
    return from_torch(
        Plain().eval(), image_shape=(32, 32, 3), image_value_range=(0, 1), labels=["cat", "dog", "owl", "elk"]
    )


def test_classes_of_a_network_without_softmax(plain):
    image = torch.rand(1, 3, 33, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    logits = plain.network(plain.create_input(image)).detach()
    vis = render.make_vis_T(plain, "prob:owl", image, transforms=[])
    torch.testing.assert_close(vis("loss"), logits.softmax(1)[0, 2])
    vis = render.make_vis_T(plain, "class:owl", image, transforms=[])
    torch.testing.assert_close(vis("loss"), logits[0, 2])


# Renders ----------------------------------------------------------------------------------------


def test_render_many_takes_the_whole_grammar(tiny, tmp_path):
    asked = ["-mixed4a:3-4", "mixed4a:4", "mixed4a:3+0.5*mixed3a:8", "class:spiral,3"]
    made = render.render_many(tiny, asked, size=96, steps=1, output=tmp_path / "units", verbose=False)
    names = ["-mixed4a:3", "-mixed4a:4", "mixed4a:4", "mixed4a:3 + 0.5*mixed3a:8", "class:spiral", "class:3"]
    assert [unit.name for unit in made] == names
    assert [unit.path.name for unit in made] == [
        "minus_mixed4a_0003.png",
        "minus_mixed4a_0004.png",
        "mixed4a_0004.png",
        "mixed4a_3_plus_0.5_times_mixed3a_8.png",
        "class_spiral.png",
        "class_3.png",
    ]
    again = render.render_many(tiny, asked, size=96, steps=1, output=tmp_path / "units", verbose=False)
    assert again.reused == len(names)


def test_a_negative_channel_of_a_batch_is_that_of_a_single_render(tiny):
    made = render.render_many(tiny, "-mixed4a_pre_relu:3-5", size=40, steps=3, verbose=False)
    alone = render.render_vis(tiny, "-mixed4a_pre_relu:4", lambda: param.image(40), thresholds=[2], verbose=False)
    np.testing.assert_allclose(made[1].image, alone[-1][0], atol=2e-4)
    np.testing.assert_allclose(made[1].losses, alone.losses, rtol=1e-4, atol=1e-4)


def test_repetitions_are_named(tiny):
    with pytest.raises(ValueError, match=re.escape("-mixed4a:3 is named twice")):
        render.render_many(tiny, "-mixed4a:3,-mixed4a:2-3", size=32, steps=1)


def test_a_recipe_of_a_text_is_plain_data(tiny):
    made = render.render_vis(tiny, "-class:spiral", thresholds=[0], verbose=False)
    assert made.recipe().objective == (-objectives.class_logit("softmax2_pre_activation", "spiral")).to_data()


# Sizes ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeded():
    return get_model("InceptionV1_seeded")


def test_a_class_gets_the_size_that_its_layer_needs(seeded, capsys):
    made = render.render_vis(seeded, "mixed3a:2 + class:3", thresholds=[0])
    assert made[0].shape == (1, 224, 224, 3)
    assert "The network takes images of 224x224 here" in capsys.readouterr().out


def test_classes_of_many_get_the_size_that_their_layer_needs(seeded):
    made = render.render_many(seeded, "class:3,4", steps=1, verbose=False)
    assert made.size == (224, 224)


def test_channels_of_lucids_networks_keep_lucids_size(seeded):
    assert render.make_vis_T(seeded, "mixed5b:3").image().shape == (1, 128, 128, 3)
    assert render.make_many_T(seeded, "mixed5b:3").image().shape == (1, 128, 128, 3)
