"""Arguments are checked against annotations: which are taken as they are, converted, or refused."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters import checks
from converters.schema import Least
from converters.signatures import checked, rule_of


def take(hint: Any, value: Any) -> Any:
    rule = rule_of(hint)
    assert rule is not None
    return rule.take(value, "f's x")


@pytest.mark.parametrize(
    ("hint", "given", "wanted"),
    [
        (int, np.int8(3), 3),
        (int, torch.tensor(3), 3),
        (int, 3.0, 3),
        (float, np.float32(0.5), 0.5),
        (float, 2, 2),
        (bool, np.True_, True),
        (Sequence[int], np.array([1, 2]), [1, 2]),
        (Iterable[int], iter([1, 2]), [1, 2]),
        (tuple[int, float], [1, np.float64(2.5)], (1, 2.5)),
        (int | None, None, None),
        (Mapping[str, int], {"a": np.int64(2)}, {"a": 2}),
    ],
)
def test_numbers_are_unwrapped(hint, given, wanted):
    taken = take(hint, given)
    assert (taken, type(taken)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("hint", "given"),
    [
        (Sequence[int], [1, 2]),
        (str, "\u2603"),
        (str | os.PathLike[str], Path("a.png")),
        (Callable[[], int], len),
        (np.ndarray, np.zeros((0, 3))),
        (torch.Tensor, torch.zeros(2)),
        (Literal["a", "b"], "b"),
    ],
)
def test_other_values_stay_the_same_object(hint, given):
    assert take(hint, given) is given


@pytest.mark.parametrize(
    ("hint", "given", "message"),
    [
        (int, True, "f's x is a whole number, not True."),
        (int, 2.5, "f's x is a whole number, not 2.5."),
        (int, 2**70, f"f's x is a whole number of at most 64 bits, not {2**70}."),
        (Annotated[int, Least(1)], 0, "f's x is a whole number from 1 on, not 0."),
        (bool, 1, "f's x is True or False, not 1."),
        (bool | None, "no", "f's x is True or False, not 'no'."),
        (float, float("nan"), "f's x is a finite number, not nan."),
        (float, "3", "f's x is a finite number, not '3'."),
        (float, 10**400, "f's x is a finite number, not 1000"),
        (str, b"a", "f's x is a text, not b'a'."),
        (Sequence[str], "abc", "f's x is a list, each a text, not 'abc'."),
        (Sequence[str], ["a", 3], "Each of f's x is a text, not 3."),
        (int | Sequence[int], "a", "f's x is a whole number or a list, each a whole number, not 'a'."),
        (tuple[float, float], (1, 2, 3), "f's x has 2 values, not 3."),
        (str | os.PathLike[str], "", "f's x is a path, not ''."),
        (str | os.PathLike[str], "a\0b", "f's x is a path, not 'a\\x00b'."),
        (str | os.PathLike[str], "x" * 300, "f's x has a name of over 255 bytes: "),
        (np.ndarray, [1], "f's x is an array, not [1]."),
        (np.ndarray, np.array([None]), "f's x is an array of real numbers, not of object."),
        (torch.Tensor, torch.ones(2, device="meta"), "f's x is a dense tensor of real numbers"),
        (Callable[[], int], 3, "f's x is a function, not 3."),
        (Literal["a", "b"], "c", "f's x is one of 'a', 'b', not 'c'."),
        (Mapping[str, int], {"a": "b"}, "f's x['a'] is a whole number, not 'b'."),
        (Path, "a", "f's x is a Path, not 'a'."),
    ],
)
def test_errors_are_one_sentence(hint, given, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        take(hint, given)
    assert str(caught.value).startswith(message)


def test_a_list_that_nests_too_deeply():
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(TypeError, match=r"is a whole number, not \[\["):
        take(int, value)


def test_the_function_keeps_its_signature_and_text():
    def own(a: int, *, b: str = "x") -> int:
        """Text."""
        return a

    decorated = checked(own)
    assert inspect.signature(decorated) == inspect.signature(own)
    assert (decorated.__doc__, decorated.__qualname__) == ("Text.", own.__qualname__)


def test_a_missing_argument_has_pythons_sentence():
    @checked
    def own(a: int) -> int:
        return a

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'a'"):
        own()


def test_an_unknown_argument_is_answered_with_the_nearest_one():
    @checked(instead={"width": "size=8 is the width"})
    def own(size: int, alias_factor: int = 1) -> int:
        return size

    with pytest.raises(TypeError, match=r"^own has no argument 'alias'\. Did you mean alias_factor\?$"):
        own(1, alias=2)
    with pytest.raises(TypeError, match=r"^own has no argument 'zzz'\. Its arguments are size, alias_factor\.$"):
        own(1, zzz=2)
    with pytest.raises(TypeError, match=r"^own has no argument 'width': size=8 is the width\.$"):
        own(width=8)


def test_other_keywords_are_taken_where_the_function_takes_all():
    @checked
    def own(size: int, **options: int) -> dict[str, int]:
        return options

    assert own(1, sizes=2) == {"sizes": 2}


@pytest.mark.parametrize(
    ("hint", "given", "message"),
    [
        (str, 3, "own's x is a text, not 3."),
        (Sequence[str], "abc", "own's x is a list, each a text, not 'abc'."),
        (Literal["a", "b"], "c", "own's x is one of 'a', 'b', not 'c'."),
        (Callable[[], int], 3, "own's x is a function, not 3."),
    ],
)
def test_an_argument_that_the_function_ignores_is_refused(hint, given, message):
    def own(x: Any) -> None:
        pass

    own.__annotations__["x"] = hint
    with pytest.raises((TypeError, ValueError)) as caught:
        checked(own)(given)
    assert str(caught.value) == message


def test_the_functions_own_sentence_comes_first():
    @checked
    def own(layer: str) -> None:
        if not isinstance(layer, str):
            raise TypeError("Name a layer, as in 'mixed4a'.")

    with pytest.raises(TypeError, match=r"^Name a layer"):
        own(3)


def test_a_value_on_several_lines_is_not_shown():
    @checked
    def own(layer: str) -> None:
        raise ValueError(f"There is no layer {layer!r}.")

    with pytest.raises(TypeError, match=r"^own's layer is a text, not an array of shape \(8, 8\)\.$"):
        own(np.ones((8, 8)))


def test_errors_of_operations_are_explained_although_they_end_with_a_full_stop():
    @checked
    def own(names: Sequence[str]) -> None:
        if not names:
            raise ValueError("Name a layer.")

    with pytest.raises(TypeError, match=r"^Each of own's names is a text, not an array of shape"):
        own(np.ones((2, 2)))


def test_an_iterator_reaches_the_function_whole():
    @checked
    def own(numbers: Iterable[str]) -> list[str]:
        return list(numbers)

    assert own(iter(["a", "b"])) == ["a", "b"]


def test_methods_and_classes_are_named():
    class Own:
        @checked
        def __init__(self, size: int) -> None:
            self.size = size

        @checked
        def grow(self, by: float) -> float:
            return self.size * by

    with pytest.raises(TypeError, match=r"^Own's size is a whole number"):
        Own("a")
    with pytest.raises(ValueError, match=r"^grow's by is a finite number"):
        Own(2).grow(float("inf"))


class Long(torch.nn.Module):
    """A network whose text is long."""

    def __repr__(self):
        raise AssertionError("The whole text was made.")


@pytest.mark.parametrize("value", [Long(), [Long()] * 100, {"network": Long()}], ids=["module", "list", "dict"])
def test_messages_do_not_make_long_texts(value):
    assert "a Long" in checks.shown(value)


def test_messages_do_not_make_the_text_of_a_graph():
    assert checks.shown(GraphDef()) == "a GraphDef"
