"""Renders: Lucid's counts and results, seeds, overrides, what is read and what is left alone."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.tiny import TinyModel

# Objective values of the real Lucid on the tiny model before updates 0, 1, 2, 4, 9, 16, 17, 19:
# np.random.seed(0), param.image(16), redirected ReLUs. Chaos has hardly begun after 20 steps.
AT = [0, 1, 2, 4, 9, 16, 17, 19]
FIXTURE = {
    "channel": [0.26386, 0.53814, 0.81846, 1.39357, 2.85753, 4.90120, 5.18174, 5.73102],
    "neuron": [0.02622, 5.69349, 11.71217, 22.98792, 45.73130, 67.06166, 69.32646, 73.51138],
    "direction": [0.35686, 0.77032, 1.29690, 3.08974, 9.95711, 21.11251, 22.71119, 25.82394],
    "sum": [0.26375, 0.53631, 0.81339, 1.37421, 2.77091, 4.67275, 4.92736, 5.42480],
}
OBJECTIVES = {
    "channel": lambda: "mixed:1",
    "neuron": lambda: objectives.neuron("mixed", 4),
    "direction": lambda: objectives.direction("mixed", np.arange(9) - 3, cossim_pow=2),
    "sum": lambda: (
        objectives.channel("mixed", 1) - 1e-3 * objectives.L2(constant=0.5) - 0.1 * objectives.blur_input_each_step()
    ),
}


def _lucids_noise(shape=(3, 16, 9)):
    random = np.random.RandomState(0)
    return random.normal(size=(2, 1, *shape))


@pytest.mark.parametrize("name", FIXTURE)
@pytest.mark.parametrize("inplace", [False, True])
def test_twenty_steps_of_the_real_lucid(name, inplace):
    source = RandomSource(replay={"param/0/spectrum": [_lucids_noise()]})
    pictures = render.render_vis(
        TinyModel(inplace),
        OBJECTIVES[name](),
        lambda: param.image(16),
        transforms=[],
        thresholds=(19,),
        verbose=False,
        seed=source,
    )
    np.testing.assert_allclose(pictures.losses[AT], FIXTURE[name], rtol=1e-4, atol=1e-5)


def _render(model=None, objective="mixed:1", size=12, **kwargs):
    options = {"thresholds": (3,), "verbose": False, "param_f": lambda: param.image(size), **kwargs}
    return render.render_vis(model or TinyModel(), objective, **options)


@pytest.mark.parametrize("batch", [None, 0])
def test_a_channel_of_the_input_is_the_images(batch):
    """Not of what the network makes of the image."""
    vis = render.make_vis_T(TinyModel(), objectives.channel("input", 2, batch=batch), lambda: param.image(12))
    np.testing.assert_allclose(vis("loss").item(), vis.image()[..., 2].mean(), rtol=1e-5)


def test_thresholds_count_as_in_lucid():
    pictures = _render(thresholds=(3, 1, 1))
    assert len(pictures) == 2
    assert pictures.steps == 4
    assert pictures[0].shape == (1, 12, 12, 3)
    assert pictures[0].dtype == np.float32
    assert 0 <= pictures[1].min() < pictures[1].max() <= 1
    np.testing.assert_array_equal(_render(thresholds=(1,))[0], pictures[0])


def test_same_seed_same_picture_and_other_seed_another():
    first, again, other = _render(), _render(), _render(seed=1)
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])


def test_an_image_is_the_same_alone_or_in_a_batch():
    """Each with its own draws: image k of a batch has the seed of the k-th render."""
    shape_keeping = [transform.pad(6), transform.jitter(5), transform.random_rotate([-3, 0, 8])]
    batch = _render(
        param_f=lambda: param.image(12, batch=3),
        objective=sum(objectives.channel("mixed", 1, batch=b) for b in range(3)),
        transforms=shape_keeping,
        seed=RandomSource(seeds=[5, 9, 2], per_image=True),
    )
    for index, seed in enumerate([5, 9, 2]):
        alone = _render(transforms=shape_keeping, seed=seed)
        np.testing.assert_allclose(batch[0][index], alone[0][0], atol=1e-5)


def test_nothing_reads_the_global_generators():
    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    _render()
    assert np.array_equal(states[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(states[1], torch.get_rng_state())


def test_weights_get_no_gradient():
    model = TinyModel()
    _render(model)
    assert all(p.grad is None for p in model.network.parameters())


def test_layers_are_computed_in_one_call_once_they_are_known():
    model = TinyModel()
    objective = objectives.channel("mixed", 1) + objectives.channel("conva", 0)
    _render(model, objective)
    # The first step finds out that there are two; it and every other step then compute both at once.
    assert model.calls == [["mixed"], *4 * [["mixed", "conva"]]]


def test_an_objective_may_take_gradients_between_layers():
    def attribution(T):
        mixed, conva = T("mixed"), T("conva")
        return torch.autograd.grad(mixed[:, 1].sum(), conva, create_graph=True)[0].mul(conva).sum()

    vis = render.make_vis_T(TinyModel(), attribution, lambda: param.image(12), transforms=[])
    assert vis.step().ndim == 0


def test_reading_a_layer_does_not_make_the_steps_compute_it():
    model = TinyModel()
    vis = render.make_vis_T(model, "mixed:1", lambda: param.image(12))
    vis.step()
    vis("conva")
    vis.step()
    assert model.calls == [["mixed"], ["conva"], ["mixed"]]


def test_reading_does_not_disturb_the_draws():
    pictures = []
    for read in (False, True):
        vis = render.make_vis_T(TinyModel(), "mixed:1", lambda: param.image(12))
        for _ in range(4):
            vis.step()
            if read:
                assert vis("input").shape == (1, 3, 12, 12)
                assert vis("conva").shape[1] == 4
                assert vis("loss").ndim == 0
                assert vis("labels") == ("none", "some", "many", "all")
        pictures.append(vis.image())
    assert np.array_equal(*pictures)


def test_stop_and_interrupt_return_what_there_is():
    def stop(vis):
        if vis.steps == 3:
            vis.stop()

    def interrupt(vis):
        if vis.steps == 3:
            raise KeyboardInterrupt

    stopped = _render(thresholds=(1, 50), callbacks=[stop])
    interrupted = _render(thresholds=(1, 50), callbacks=[interrupt])
    assert (len(stopped), stopped.steps, stopped.interrupted) == (1, 3, False)
    assert (len(interrupted), interrupted.steps, interrupted.interrupted) == (1, 3, True)


class Recorder:
    """A callback with all optional methods, which records its calls."""

    def __init__(self, fails_at=None):
        self.calls, self.fails_at = [], fails_at

    def begin(self, vis, total):
        self.calls.append(("begin", vis.steps, total))

    def __call__(self, vis):
        self.calls.append(vis.steps)
        if vis.steps == self.fails_at:
            raise LookupError

    def snapshot(self, vis, picture):
        self.calls.append(("snapshot", vis.steps, picture.shape))

    def close(self):
        self.calls.append("close")


def test_the_optional_methods_of_a_callback_are_called_in_order():
    recorder = Recorder()
    _render(thresholds=(0, 1), callbacks=[lambda vis: None, recorder])
    shape = (1, 12, 12, 3)
    assert recorder.calls == [("begin", 0, 2), 1, ("snapshot", 1, shape), 2, ("snapshot", 2, shape), "close"]


def test_callbacks_are_closed_after_an_error():
    recorder = Recorder(fails_at=2)
    with pytest.raises(LookupError):
        _render(callbacks=[recorder])
    assert recorder.calls == [("begin", 0, 4), 1, 2, "close"]


def test_recipes_call_the_optional_methods_too():
    model, recorder = TinyModel(), Recorder()
    _render(model, thresholds=(1,)).recipe().render(model, callbacks=[recorder])
    assert recorder.calls == [("begin", 0, 2), 1, 2, "close"]


def test_one_function_is_printed_as_one_objective(capsys):
    _render(thresholds=(0,), verbose=True, print_objectives=lambda T: T("mixed").mean())
    assert "01: <lambda>: " in capsys.readouterr().out


def test_vector_objectives_are_summed():
    """`total_variation` has one value for each image; adding it to a scalar counts that twice."""
    pictures = [
        _render(objective=objective, param_f=lambda: param.image(12, batch=2), transforms=[])[0]
        for objective in (
            objectives.channel("mixed", 1) - objectives.total_variation(),
            lambda T: 2 * T("mixed")[:, 1].mean() - objectives.total_variation()(T).sum(),
        )
    ]
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-6)


def test_lists_are_taken_as_transforms_and_none_as_the_standard_ones():
    assert render.make_transform_f(None).transforms == tuple(transform.standard_transforms)
    assert render.make_transform_f([]).transforms == ()
    assert len(render.make_transform_f((transform.jitter(2),)).transforms) == 1
    with pytest.raises(TypeError, match="transforms"):
        render.make_transform_f(3)


def test_optimizers():
    sgd = _render(optimizer=lambda p: torch.optim.SGD(p, lr=0.1))
    assert not np.array_equal(sgd[0], _render()[0])
    with pytest.raises(TypeError, match="optimizer"):
        _render(optimizer="adam")


def test_user_images_and_modules():
    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.level = torch.nn.Parameter(torch.full((1, 3, 1, 1), 0.3))

        def forward(self):
            return self.level.expand(1, 3, 8, 8)

    assert _render(param_f=Generator())[0].shape == (1, 8, 8, 3)
    image = torch.rand(1, 3, 8, 8, requires_grad=True)
    assert _render(param_f=lambda: image)[0].shape == (1, 8, 8, 3)
    with pytest.raises(ValueError, match="nothing to optimize"):
        _render(param_f=torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="does not depend"):
        _render(objective=lambda T: torch.zeros(()))


def test_objectives_are_printed(capsys):
    kwargs = {"print_objectives": ["mixed:1", objectives.total_variation()], "verbose": True}
    _render(**kwargs, thresholds=(0, 2))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("0 ")
    assert printed[1].startswith("01: Channel [mixed, 1, None]: ")
    assert printed[2].startswith("02: Total_Variation [input]: ")


def test_starting_from_a_picture():
    start = np.random.default_rng(0).random((9, 11, 3))
    vis = render.make_vis_T(TinyModel(), "mixed:1", lambda: param.image(11, 9, init=start))
    np.testing.assert_allclose(vis.image()[0], np.clip(start, 1e-3, 1 - 1e-3), atol=1e-5)


def test_losses_are_logged(tmp_path):
    _render(log_dir=str(tmp_path))
    assert list(tmp_path.glob("events.*"))


def test_pictures_are_copies():
    image = torch.rand(1, 3, 12, 12).to(memory_format=torch.channels_last).requires_grad_()
    found = render.render_vis(TinyModel(), "mixed:1", lambda: image, transforms=[], thresholds=(0, 3), verbose=False)
    assert not np.shares_memory(found[0], found[1])
    assert not np.array_equal(found[0], found[1])


def test_gradients_are_on_whatever_the_caller_set():
    with torch.no_grad():
        assert _render(TinyModel(), "mixed:1", thresholds=(0,)).steps == 1


def test_an_objective_with_gradients_between_layers_can_be_read_and_printed():
    def attribution(T):
        mixed, conva = T("mixed"), T("conva")
        return torch.autograd.grad(mixed[:, 1].sum(), conva, create_graph=True)[0].mul(conva).sum()

    vis = render.make_vis_T(TinyModel(), attribution, lambda: param.image(12), transforms=[])
    assert not vis("loss").requires_grad
    assert len(vis.evaluate([attribution, "mixed:1"])) == 2


def test_a_name_that_is_no_layers_is_not_kept():
    def hesitant(T):
        with contextlib.suppress(KeyError):
            T("nowhere")
        return T("mixed").mean()

    vis = render.make_vis_T(TinyModel(), hesitant, lambda: param.image(12))
    vis.step()
    assert vis.reads.layers == ("mixed",)


@pytest.mark.parametrize("thresholds", [(), None, (1.5,), (-1,), "12", [float("nan")]])
def test_thresholds_are_step_numbers(thresholds):
    with pytest.raises(ValueError, match="whole step numbers"):
        _render(TinyModel(), "mixed:1", thresholds=thresholds)


def test_objectives_to_print_are_checked_before_the_work():
    model = TinyModel()
    with pytest.raises(ValueError, match="':' and channels are expected"):
        _render(model, "mixed:1", print_objectives=["mixed"])
    assert model.calls == []


@pytest.mark.parametrize("model", [TinyModel, torch.nn.Identity(), "InceptionV1"])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match=r"call it|is no model"):
        _render(model, "mixed:1")


def test_an_optimizer_that_would_change_nothing():
    other = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="does not own"):
        _render(TinyModel(), "mixed:1", optimizer=torch.optim.SGD([other], lr=1.0))
    with pytest.raises(TypeError, match="NoneType"):
        _render(TinyModel(), "mixed:1", optimizer=lambda parameters: None)


def test_a_users_objective_does_not_replace_a_built_in_in_recipes():
    from lucid_port.optvis import serialization

    recipe = objectives.channel("mixed", 1).to_data()
    with pytest.warns(UserWarning, match="'channel'"):

        @objectives.wrap_objective
        def channel(layer, n_channel, batch=None):
            return lambda T: -T(layer).mean()

    assert serialization.from_data(recipe).to_data() == recipe
    assert serialization.from_data(recipe).description == "Channel [mixed, 1, None]"
    vis = render.make_vis_T(TinyModel(), serialization.from_data(recipe), lambda: param.image(12), transforms=[])
    expected = render.make_vis_T(TinyModel(), "mixed:1", lambda: param.image(12), transforms=[])
    assert torch.equal(vis.step(), expected.step())


class Closing:
    """A callback whose methods raise on demand."""

    def __init__(self, raises=()):
        self.raises, self.closed = raises, False

    def __call__(self, vis):
        pass

    def begin(self, vis, total):
        if "begin" in self.raises:
            raise ArithmeticError("begin")

    def close(self):
        self.closed = True
        if "close" in self.raises:
            raise ArithmeticError("close")


@pytest.mark.parametrize("method", ["begin", "close"])
def test_all_callbacks_are_closed_if_one_raises(method):
    callbacks = [Closing(), Closing([method]), Closing()]
    options = {"thresholds": (1,), "callbacks": callbacks, "verbose": False}
    with pytest.raises(ArithmeticError, match=method):
        render.render_vis(TinyModel(), "mixed:1", lambda: param.image(8), **options)
    assert all(callback.closed for callback in callbacks)
