"""Texts that name units: forms of the grammar, and mutations of their characters and parts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

TEXTS = (
    "mixed4a:3", "  mixed4a : 3  ", "mixed4a:3,7,10-20", "mixed4a:*", "-mixed4a:3", "+mixed4a:3", "0.5*mixed4a:3",
    "-1e-2 * mixed4a:3", "mixed4a:3 + 0.5*mixed4b:8", "mixed4a:3-2*mixed4b:8", "mixed4a:3, -mixed4b:8", "0:3,1:4",
    "0.5*0:3", "fc8-conv:3", "res/3-1/add:3-5", "x:0:3", '"a, b + c":3', "'class':3", "mixed4a:3[4,5]",
    "mixed4a:3,7 [ center ]", "video:3[1,4,5]", "blocks.6:*[-1]", "class:spiral", "logit:285", "prob:goldfish",
    "class:0-9", "class:*", 'class:"7"', "class:tabby cat, 3, jack-o'-lantern", "class:'tabby, tabby cat'",
    "class:spiral - class:dots", "mixed4a@direction.npy", 'mixed4a@"my dir/x, y.npy"', "deepdream:mixed4a",
)  # fmt: skip
PARTS = (
    *":,*+-@[]()\"';. \t\n0123456789eE_/", "mixed4a", "class:", "prob:", "deepdream:", "logit:", ".npy", "center",
    "0.5*", "1e400*", "1e-400*", "\u0663", "\u00b2", "\uff11", "\u00e9", "\u2028", "\ud800", "\0",
    "9" * 18, "9" * 19, "9" * 5000,
)  # fmt: skip
MANY = (2, 10, 1000, 20_000)


def _cut(text: str, random: Random) -> str:
    start = random.randrange(len(text) + 1)
    return text[:start] + text[start + random.choice((1, 1, 3, 10)) :]


def _insert(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[:place] + random.choice(PARTS) + text[place:]


def _exchange(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    return text[: max(place - 1, 0)] + random.choice(PARTS) + text[place:]


def _copy(text: str, random: Random) -> str:
    place, start, end = (random.randrange(len(text) + 1) for _ in range(3))
    return text[:place] + text[min(start, end) : max(start, end)] + text[place:]


def _cross(text: str, random: Random) -> str:
    other = random.choice(TEXTS)
    return text[: random.randrange(len(text) + 1)] + other[random.randrange(len(other)) :]


def _join(text: str, random: Random) -> str:
    return text + random.choice((", ", " + ", " - ", ",", "+", "-")) + random.choice(TEXTS)


def _noise(text: str, random: Random) -> str:
    return "".join(random.choice(PARTS) for _ in range(random.randrange(12)))


def _repeat(text: str, random: Random) -> str:
    """Repeats a part; rarely a thousand times, as an algorithm may take the square of the length."""
    if random.random() < 0.9:
        return _copy(text, random)
    part = random.choice((text, text[random.randrange(len(text) + 1) :], random.choice(PARTS)))
    separator = random.choice(("", "", " ", ",", " + "))
    return separator.join([text, *[part[:100]] * random.choice(MANY)])


_CHANGES: tuple[Callable[[str, Random], str], ...] = (
    _cut, _insert, _exchange, _copy, _cross, _join, _noise, _repeat,
)  # fmt: skip


def change_units(data: bytes, random: Random) -> bytes:
    """Changes a text by one to six of the functions above."""
    text = data.decode("utf-8", "surrogatepass")
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        text = random.choice(_CHANGES)(text, random)
    return text.encode("utf-8", "surrogatepass")
