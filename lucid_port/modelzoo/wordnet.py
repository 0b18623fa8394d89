"""ImageNet's classes as WordNet synsets, as in Lucid's `wordnet`.

Class names differ between models and are not unique; synsets are. WordNet needs nltk
(`pip install -e '.[wordnet]'`) and its corpus (`python -m nltk.downloader wordnet`); this module downloads nothing. Ids
are those of WordNet 3.0: a letter for the part of speech and the offset, for example "n01484850".
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable
from typing import Any, Protocol

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.catalogue import label_lists

__all__ = [
    "id_from_synset",
    "imagenet_synset_from_description",
    "imagenet_synset_ids",
    "imagenet_synsets",
    "synset_from_id",
]

IMAGENET_SYNSETS = "ImageNet_standard_synsets"
_ID = re.compile(r"[nvars]\d{8}")


class Synset(Protocol):
    """The part of nltk's synset that this module reads."""

    def name(self) -> str: ...

    def pos(self) -> str: ...

    def offset(self) -> int: ...


def _wordnet() -> Any:
    """Returns nltk's WordNet corpus reader.

    Raises:
        ImportError: nltk is not installed.
        LookupError: the corpus is not on this machine.
    """
    try:
        from nltk.corpus import wordnet
    except ImportError as error:
        raise ImportError("Synsets need nltk: pip install -e '.[wordnet]'.") from error
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise LookupError(
            "nltk finds no WordNet on this machine: get it once with `python -m nltk.downloader wordnet`."
        ) from error
    return wordnet


@checked
def id_from_synset(synset: Synset) -> str:
    """Returns the id of a synset, for example "n01484850" for great_white_shark.n.01."""
    return f"{synset.pos()}{synset.offset():08}"


@checked
def synset_from_id(id_str: str) -> Any:
    """Returns nltk's synset of an id.

    Raises:
        ValueError: the string is not an id, or WordNet has no synset with this id.
        ImportError, LookupError: nltk or its WordNet corpus is missing.

    Example, with nltk and the corpus::

        synset_from_id("n01484850")  # Synset('great_white_shark.n.01')
    """
    if not isinstance(id_str, str) or not _ID.fullmatch(id_str):
        raise ValueError(f"A synset's id is a letter and eight digits, such as n01484850, not {checks.shown(id_str)}.")
    wordnet = _wordnet()
    from nltk.corpus.reader.wordnet import WordNetError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # for unknown ids, some versions of nltk warn instead of raise
            synset = wordnet.synset_from_pos_and_offset(id_str[0], int(id_str[1:]))
    except WordNetError:
        synset = None
    if synset is None:
        raise ValueError(f"WordNet has no synset {id_str}.")
    return synset


def synsets_from_ids(ids: Iterable[str]) -> list[Any]:
    """Returns nltk's synsets of a model's classes, None for "dummy".

    Raises:
        ImportError, LookupError: nltk or its WordNet corpus is missing.
    """
    return [None if name == "dummy" else synset_from_id(name) for name in ids]


@functools.cache
def _imagenet_synsets() -> tuple[Any, ...]:
    return tuple(synset_from_id(name) for name in imagenet_synset_ids())


def imagenet_synset_ids() -> list[str]:
    """Returns the ids of ImageNet's 1000 classes in ascending order: the output order of most networks.

    Example:
        >>> imagenet_synset_ids()[:2]
        ['n01440764', 'n01443537']
    """
    return label_lists()[IMAGENET_SYNSETS].read()


def imagenet_synsets() -> list[Any]:
    """Returns nltk's synsets of ImageNet's 1000 classes, in the order of their ids.

    Raises:
        ImportError, LookupError: nltk or its WordNet corpus is missing.
    """
    return list(_imagenet_synsets())


@checked
def imagenet_synset_from_description(search_term: str) -> Any:
    """Finds the synset of an ImageNet class by a part of its name.

    Args:
        search_term: a part of the name, for example of "great_white_shark.n.01". Case is ignored; spaces match
            underscores.

    Returns:
        nltk's synset.

    Raises:
        ValueError: no name, or more than one, contains the term; the error lists the matches.
        ImportError, LookupError: nltk or its WordNet corpus is missing.

    Example, with nltk and the corpus::

        imagenet_synset_from_description("great white")  # Synset('great_white_shark.n.01')
    """
    wanted = search_term.lower().replace(" ", "_")
    found = [synset for synset in _imagenet_synsets() if wanted in synset.name()]
    if not found:
        raise ValueError(f"No synset of ImageNet's has {checks.shown(search_term)} in its name.")
    if len(found) > 1:
        names = ", ".join(synset.name() for synset in found)
        shown = checks.shown(search_term)
        raise ValueError(f"{len(found)} synsets of ImageNet's have {shown} in their names: {names}.")
    return found[0]
