"""The grammar of texts that name what to render, such as `"mixed4a:3,7,10-20"` or `"class:spiral - 0.5*mixed4a:3"`.

`parse` reads a text without a model, runs no code and opens no file. The table in docs/units.md has all forms:

    request  = picture ("," picture)*
    picture  = ["+" | "-"] term (("+" | "-") term)*
    term     = [number "*"] (units | classes | direction | layer)
    units    = LAYER ":" (numbers | "*") [place]
    place    = "[" ("center" | ROW "," COLUMN | TIME "," ROW "," COLUMN | TOKEN) "]"
    classes  = ("class" | "logit" | "prob") ":" (labels | numbers | "*")
    direction = LAYER "@" FILE.npy
    layer    = "deepdream" ":" LAYER
    numbers  = range ("," range)*        range = NUMBER ["-" NUMBER]

Names, labels and files stand in quotes if they contain a character of the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

from converters.signatures import checked

__all__ = [
    "CENTER",
    "Channels",
    "Classes",
    "Direction",
    "Dream",
    "GrammarError",
    "Picture",
    "Target",
    "Term",
    "factor",
    "parse",
    "parse_one",
    "quoted",
]

Range: TypeAlias = tuple[int, int]
"""The first and the last number."""

CENTER = "center"
"""The place of the neuron in the middle of a layer."""

Place: TypeAlias = tuple[int, ...] | int | str | None
"""(row, column) or (time, row, column) of a neuron, `CENTER`, the number or name of a token; None for all positions."""

Score: TypeAlias = Literal["logit", "prob"]

SCORES: dict[str, Score] = {"class": "logit", "logit": "logit", "prob": "prob"}
"""Words before a class, and the layer that they read: before or after the softmax."""

DREAM = "deepdream"

LONGEST = 100_000
"""Number of characters of a text."""

MOST_DIGITS = 18
"""Of a channel's or a class's number."""

LONGEST_SHOWN = 200
"""Number of characters of a text that an error repeats."""

LONGEST_EXAMPLE = 60
"""Number of characters of a layer's name that an error's example repeats."""

EXAMPLES = (
    "'mixed4a:3', 'mixed4a:3,7,10-20', 'mixed4a:*', 'class:LABEL', 'mixed4a@direction.npy' or 'deepdream:mixed4a'"
)


class GrammarError(ValueError):
    """A text does not name what to render.

    Attributes:
        text: The text.
        position: Index of the character at which it cannot be read.
    """

    def __init__(self, text: str, position: int, expected: str) -> None:
        self.text, self.position = text, position
        rest = text[position:].strip()
        where = f"at character {position + 1} ({rest[:20]!r})" if rest else "at its end"
        super().__init__(f"{_shortened(text)} cannot be read {where}: {expected}.")


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_SHOWN:
        return repr(text)
    return f"{text[:LONGEST_SHOWN]!r} with {len(text) - LONGEST_SHOWN} more characters"


# What a text names ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Channels:
    """Channels of a layer.

    Attributes:
        layer: Name of the layer.
        ranges: Ranges of channels; None for all.
        place: Position or token to read; None for the mean over all.
    """

    layer: str
    ranges: tuple[Range, ...] | None
    place: Place = None

    def __str__(self) -> str:
        numbers = "*" if self.ranges is None else _numbers(self.ranges)
        place = ",".join(map(str, self.place)) if isinstance(self.place, tuple) else self.place
        return f"{quoted(self.layer)}:{numbers}" + ("" if place is None else f"[{place}]")


@dataclass(frozen=True)
class Classes:
    """Classes of the network's output.

    Attributes:
        score: "logit" before the softmax, "prob" after it.
        labels: Labels and ranges of numbers; None for all classes.
    """

    score: Score
    labels: tuple[str | Range, ...] | None

    def __str__(self) -> str:
        names = [_label(one) if isinstance(one, str) else _numbers([one]) for one in self.labels or ()]
        return f"{'class' if self.score == 'logit' else 'prob'}:{'*' if self.labels is None else ','.join(names)}"


@dataclass(frozen=True)
class Direction:
    """Directions in a layer, from an array in a file."""

    layer: str
    path: str

    def __str__(self) -> str:
        return f"{quoted(self.layer)}@{quoted(self.path)}"


@dataclass(frozen=True)
class Dream:
    """A whole layer: the mean of its squared activation."""

    layer: str

    def __str__(self) -> str:
        return f"{DREAM}:{quoted(self.layer)}"


Target: TypeAlias = Channels | Classes | Direction | Dream


@dataclass(frozen=True)
class Term:
    """A weighted part of a sum.

    Attributes:
        target: What the term reads.
        weight: Factor, negative after a minus sign.
        position: Index of its first character in the text.
    """

    target: Target
    weight: float = 1.0
    position: int = 0

    @property
    def is_several(self) -> bool:
        """Whether the term may name more than one picture; the rows of an array of directions are not counted."""
        if isinstance(self.target, Channels):
            return self.target.ranges is None or _is_several(self.target.ranges)
        if isinstance(self.target, Classes):
            return self.target.labels is None or _is_several(self.target.labels)
        return False


@dataclass(frozen=True)
class Picture:
    """A picture's sum of terms. A picture of one term with several units stands for a picture of each.

    Example:
        >>> str(parse_one("mixed4a:3 + 0.5 * mixed4b:8")), str(parse_one("-mixed4a:45"))
        ('mixed4a:3 + 0.5*mixed4b:8', '-mixed4a:45')
    """

    terms: tuple[Term, ...]

    @property
    def is_several(self) -> bool:
        """Whether it stands for more than one picture."""
        return self.terms[0].is_several

    def __neg__(self) -> Picture:
        return Picture(tuple(replace(term, weight=-term.weight) for term in self.terms))

    def with_layers(self, rename: Callable[[str], str]) -> Picture:
        """Returns the picture with other names of its layers."""

        def renamed(target: Target) -> Target:
            return target if isinstance(target, Classes) else replace(target, layer=rename(target.layer))

        return Picture(tuple(replace(term, target=renamed(term.target)) for term in self.terms))

    def __str__(self) -> str:
        first, *others = self.terms
        text = f"{factor(first.weight)}{first.target}"
        for term in others:
            text += f" {'-' if term.weight < 0 else '+'} {factor(abs(term.weight))}{term.target}"
        return text


def factor(weight: float) -> str:
    """Returns the factor before a term, such as "-" or "0.5*"; empty for 1."""
    return "-" * (weight < 0) + ("" if abs(weight) == 1 else f"{abs(weight)!r}*".replace(".0*", "*"))


def _is_several(parts: Sequence[str | Range]) -> bool:
    return len(parts) > 1 or (not isinstance(parts[0], str) and parts[0][0] != parts[0][1])


def _numbers(ranges: Sequence[Range]) -> str:
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def quoted(name: str) -> str:
    """Returns a layer's name or a path as the grammar reads it, in quotes where it needs them."""
    is_keyword = name in (*SCORES, DREAM) or _KEYWORD.match(name) is not None
    return name if re.fullmatch(_BARE, name) and not is_keyword else _in_quotes(name)


def _label(label: str) -> str:
    bare = re.fullmatch(r"[^\s,+*\"'@\[\]:-]+(?: [^\s,+*\"'@\[\]:-]+)*", label) and not label[0].isdigit()
    return label if bare else _in_quotes(label)


def _in_quotes(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}"


# Hints ----------------------------------------------------------------------------------------------

_FACTOR_FIRST = "a factor stands before its unit, as in '0.5*{}:3'"
_BEHIND_NAME = {
    r"\s*,\s*\d+\s*\*": "a factor has a decimal point, as in '0.5*mixed4a:3'",
    r"\[\s*\d|\s*\(\s*\d|\s+\d": "':' stands before a channel's number, as in '{}:3'",
    r"\s+\D": "layer names with spaces stand in quotes; otherwise ':' and channels are expected, as in '{}:3'",
}
_BEHIND_COLON = {
    r"-\d": "channels count from 0; a sign stands before the layer, as in '-{}:3'",
    r"\d+\s*[*/]": _FACTOR_FIRST,
    r"\d+\s*;": "a comma separates numbers and units",
    r"(?i)all\b": "'*' stands for all channels, as in '{}:*'",
    r"\[|\(": "numbers stand without brackets, as in '{}:3,7'",
    r"\*": "nothing but a place, a comma, '+' or '-' may stand behind '*'",
    r"\d+[\u2010-\u2015\u2212]": "a range has a plain hyphen, as in '{}:3-7'",
    r"\d": "a channel is a whole number from 0 on, as in '{}:3'",
}
_BEHIND_PICTURE = {
    r"[*/]": _FACTOR_FIRST,
    r";": "a comma separates pictures",
    r"@": "a file stands behind a layer, as in '{}@direction.npy'",
    r"\[": "a place is [center], [ROW,COLUMN] or [TOKEN], once, behind the last number",
}
"""What follows -> what to write, with the layer's name for `{}`."""


def _hint(hints: Mapping[str, str], rest: str, layer: str) -> str:
    """Returns the hint for what follows; empty if there is none."""
    return next((hint.format(_example(layer)) for pattern, hint in hints.items() if re.match(pattern, rest)), "")


def _example(layer: str) -> str:
    return layer if len(layer) <= LONGEST_EXAMPLE else f"{layer[:LONGEST_EXAMPLE]}..."


# The parser ---------------------------------------------------------------------------------------

_BARE = r"(?!-)[^\s,+*\"'@\[\]();]+"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+)"
_SPACES = re.compile(r"\s*")
_SIGN = re.compile(r"\s*([+-])\s*")
_FACTOR = re.compile(rf"({_NUMBER})\s*\*\s*")
_END = rf"(?=$|[\s,+\[]|-(?!\d)|-{_NUMBER}\s*\*)"
_UNITS = re.compile(rf"({_BARE}?)\s*:\s*(\*|[0-9]+(?:\s*-\s*[0-9]+)?){_END}")
_RANGE = re.compile(rf"\s*([0-9]+)(?:\s*-\s*([0-9]+))?{_END}")
_KEYWORD = re.compile(rf"({'|'.join([*SCORES, DREAM])})\s*:\s*")
_FILE = re.compile(rf"({_BARE}?)\s*@\s*")
_NAME = re.compile(_BARE)
_BARE_WORD = re.compile(r"[\w' -]+(?=$|,|\s[+-])")
_PATH = re.compile(r"[^\s,+\"']+")
_LABEL = re.compile(
    # Up to a sign before another unit. Spaces are taken together, so that the time is not their number's square.
    r"(?:(?!\s+[+-]\s|\s*\+[^,:@+]*[:@]|\s*-[^,:@+-]*[:@])(?:\s+|[^\s,\"@\[\]:*]))+"
)
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'")
_PLACE = re.compile(r"\s*\[([^\[\]]*)\]")
_DELIMITER = re.compile(r"\"[^\"]*\"|'[^']*'|[,\[:@]")
_COMMA = re.compile(r"\s*,\s*")
_PLAIN = {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'"}
"""Characters that text processors put in the place of a plain one, outside of words."""
_TYPOGRAPHIC = re.compile(r"(?<!\w)[\u2212\u2013\u2014\u201c\u201d\u2018\u2019]|(?<=\d)[\u2212\u2013\u2014](?=\s*\d)")

_Found = TypeVar("_Found")


@checked
def parse(text: str) -> tuple[Picture, ...]:
    """Parses a text that names one or several pictures.

    Raises:
        TypeError: `text` is no text.
        GrammarError: The text has another form.

    Example:
        >>> [str(one) for one in parse("mixed4a:3,7-9, -class:spiral")]
        ['mixed4a:3,7-9', '-class:spiral']
    """
    if not isinstance(text, str):
        raise TypeError(f"The units are a text, as in {EXAMPLES}, not a {type(text).__name__}.")
    if len(text) > LONGEST:
        raise GrammarError(text, LONGEST, f"a text has at most {LONGEST:,} characters: pass a list of texts")
    return _Parser(text).request()


@checked
def parse_one(text: str) -> Picture:
    """Parses a text that names one picture.

    Raises:
        GrammarError: The text has another form, or names several pictures.
    """
    pictures = parse(text)
    if len(pictures) > 1 or pictures[0].is_several:
        raise GrammarError(text, 0, "it names several pictures, and one is needed here: render_many renders several")
    return pictures[0]


class _Parser:
    """Reads a text from left to right.

    Attributes:
        text: The text.
        at: Index of the next character.
    """

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.classed = ""  # word of the class that was read last
        self.behind_place = False
        odd = _TYPOGRAPHIC.search(text)
        if odd is not None:
            self.at = odd.start()
            raise self.error(f"{odd[0]!r} is no character of the grammar: write {_PLAIN[odd[0]]!r}")

    def request(self) -> tuple[Picture, ...]:
        pictures = [self.picture()]
        while not self.ends():
            self.take(_SPACES)
            if self.take(_COMMA) is None:
                hint = _hint(_BEHIND_PICTURE, self.text[self.at :].lstrip(), "mixed4a")
                raise self.error(hint or "a comma, '+' or '-' is expected; names with other characters stand in quotes")
            if self.ends():
                raise self.error("a unit is missing behind the comma")
            pictures.append(self.picture())
        return tuple(pictures)

    def picture(self) -> Picture:
        sign = self.take(_SIGN)
        terms = [self.term(sign)]
        while (sign := self.take(_SIGN)) is not None:
            terms.append(self.term(sign))
        for term in terms:
            if len(terms) > 1 and term.is_several:
                self.at = term.position
                raise self.error("a sum has one unit in each term: write one sum for each picture")
        return Picture(tuple(terms))

    def term(self, sign: re.Match[str] | None) -> Term:
        self.take(_SPACES)
        position = self.at
        factor = self.take(_FACTOR)
        weight = (-1.0 if sign is not None and sign[1] == "-" else 1.0) * (1.0 if factor is None else float(factor[1]))
        if weight in (0.0, float("inf"), float("-inf")):
            self.at = position
            raise self.error("a factor is a number other than 0")
        return Term(self.target(), weight, position)

    def target(self) -> Target:
        if self.ends():
            raise self.error(f"a unit is missing here: write {EXAMPLES}")
        for read in (self.keyword, self.quoted_layer, self.units, self.direction):
            found = read()
            if found is not None:
                return found
        raise self.no_target()

    def keyword(self) -> Target | None:
        self.classed = self.classed if _BARE_WORD.match(self.text, self.at) else ""
        word = self.take(_KEYWORD)
        if word is None:
            return None
        if word[1] == DREAM:
            return Dream(self.name("the layer's name"))
        self.classed = word[1]
        return self.classes(SCORES[word[1]])

    def quoted_layer(self) -> Target | None:
        if self.text[self.at] not in "\"'":
            return None
        layer = self.name("a layer's name")
        if self.take(re.compile(r"\s*@\s*")) is not None:
            return self.file_of(layer)
        if self.take(re.compile(r"\s*:\s*")) is None:
            raise self.error("':' and channels, or '@' and a file, are expected behind a layer's name")
        if self.take(re.compile(rf"\*{_END}")) is not None:
            return self.placed(Channels(layer, None))
        return self.channels_of(layer)

    def units(self) -> Target | None:
        found = _UNITS.match(self.text, self.at)
        if found is None or not found[1]:
            return None
        if found[1].lower() in SCORES:
            self.at = found.start(2)
            raise self.error(f"the word is {found[1].lower()!r}, in lower case")
        self.at = found.start(2)
        if found[2] == "*":
            self.at = found.end()
            return self.placed(Channels(found[1], None))
        return self.channels_of(found[1])

    def channels_of(self, layer: str) -> Channels:
        return self.placed(Channels(layer, tuple(self.listed(lambda: self.range("a channel's number")))))

    def direction(self) -> Target | None:
        found = self.take(_FILE)
        if found is None or not found[1]:
            return None
        return self.file_of(found[1])

    def file_of(self, layer: str) -> Direction:
        position = self.at
        path = self.name("a file that ends in .npy", _PATH)
        if not path.lower().endswith(".npy"):
            self.at = position
            raise self.error("a direction is a file that ends in .npy; put paths with spaces in quotes")
        return Direction(layer, path)

    def classes(self, score: Score) -> Classes:
        if self.take(re.compile(r"\*(?=\s*($|[,+-]))")) is not None:
            return Classes(score, None)
        return Classes(score, tuple(self.listed(self.label)))

    def label(self) -> str | Range:
        if self.text.startswith(("'", '"'), self.at):
            return self.name("a label")
        if _RANGE.match(self.text, self.at):
            return self.range("a class's number")
        found = self.take(_LABEL)
        if found is None or not found[0].strip():
            raise self.error("a class's label or number is expected")
        label = found[0].strip()
        if label[0].isdigit() and re.fullmatch(r"[\d.\s-]+", label):
            self.at = found.start()
            raise self.error(
                f'a number is a class\'s index, as in class:3 or class:0-9; put a label in quotes: "{_example(label)}"'
            )
        return label

    def listed(self, read: Callable[[], _Found]) -> list[_Found]:
        """Reads a value, and further ones behind commas up to the next picture, which has a ':' or '@'."""
        found = [read()]
        while True:
            before = self.at
            if self.take(_COMMA) is None or self.ends() or self.begins_picture():
                self.at = before
                return found
            if self.text[self.at] == ",":
                raise self.error("something is missing between two commas")
            found.append(read())

    def begins_picture(self) -> bool:
        if self.text[self.at] in "+-":
            return True
        number = _RANGE.match(self.text, self.at)
        if re.match(r"\s*[0-9]+\s*-\s*(?=$|,)", self.text[self.at :]):
            return False
        if number is not None and _SIGN.match(self.text, number.end()):
            raise self.error("a sum has one unit in each term: write one sum for each picture")
        delimiters = (found[0] for found in _DELIMITER.finditer(self.text, self.at))
        return next((one in ":@" for one in delimiters if len(one) == 1), False)

    def range(self, what: str) -> Range:
        position = self.at
        found = self.take(_RANGE)
        open_ended = re.match(r"\s*[0-9]+\s*-\s*(?=$|,)", self.text[position:])
        if open_ended is not None:
            self.at = position
            raise self.error("the range has no end, as in 3-7")
        if found is None:
            raise self.error(f"{what}, a range such as 3-7, or * is expected")
        if max(len(digits or "") for digits in found.groups()) > MOST_DIGITS:
            self.at = position
            raise self.error(f"a number has at most {MOST_DIGITS} digits")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            self.at = position
            raise self.error(f"the range ends before it begins: write {last}-{first}")
        self.at = found.end(2) if found[2] else found.end(1)
        return first, last

    def placed(self, channels: Channels) -> Channels:
        found = self.take(_PLACE)
        if found is None:
            return channels
        self.behind_place = True
        texts = [part.strip() for part in found[1].split(",")]
        if all(re.fullmatch(rf"-?[0-9]{{1,{MOST_DIGITS}}}", part) for part in texts) and len(texts) in (1, 2, 3):
            numbers = tuple(int(part) for part in texts)
            return replace(channels, place=numbers[0] if len(numbers) == 1 else numbers)
        if len(texts) != 1 or not re.fullmatch(r"[A-Za-z_]\w*", texts[0]):
            self.at = found.start(1)
            raise self.error(
                "a place is [ROW,COLUMN], [center], or a token's number or name, as in [class]; counts start at 0"
            )
        return replace(channels, place=texts[0])

    def name(self, what: str, bare: re.Pattern[str] = _NAME) -> str:
        found = self.take(_QUOTED)
        if found is not None:
            inside = found[1] if found[1] is not None else found[2]
            if not inside:
                self.at = found.start()
                raise self.error(f"{what} is expected in the quotes")
            return inside
        if self.text.startswith(("'", '"'), self.at):
            raise self.error("the quotes do not end")
        found = self.take(bare)
        if found is None:
            raise self.error(f"{what} is expected")
        return found[0]

    def no_target(self) -> GrammarError:
        """Returns the error for a term that has none of the forms."""
        found = _NAME.match(self.text, self.at)
        if found is None:
            return self.error(f"a unit is expected: write {EXAMPLES}")
        layer, colon, rest = found[0].rpartition(":")
        if not colon and self.classed:
            return self.error(f"a class begins with its word, as in '{self.classed}:{_example(rest)}'")
        if not colon and self.behind_place:
            return self.error("a place belongs to all numbers before it: write 3,7[center], or repeat the layer")
        if not colon:
            self.at = found.end()
            hint, name = _hint(_BEHIND_NAME, self.text[self.at :], rest), _example(rest)
            return self.error(
                hint or f"':' and channels are expected, as in '{name}:3', '{name}:*' or 'deepdream:{name}'"
            )
        self.at += len(layer) + 1
        if not layer:
            return self.error("a layer's name is expected before ':'")
        if layer.lower() in SCORES:
            return self.error(f"the word is {layer.lower()!r}, in lower case")
        if layer.lower() in ("label", "labels", "classes"):
            return self.error(f"the word before a class is 'class', as in 'class:{_example(rest)}'")
        hint = _hint(_BEHIND_COLON, self.text[self.at :], layer)
        return self.error(hint or "a channel's number, a range such as 3-7, or * is expected")

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def ends(self) -> bool:
        found = _SPACES.match(self.text, self.at)
        return found is not None and found.end() == len(self.text)

    def error(self, expected: str) -> GrammarError:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return GrammarError(self.text, self.at, expected)
