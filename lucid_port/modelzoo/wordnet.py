"""ImageNet's classes as WordNet's synsets, as Lucid's `wordnet` offers them.

Names of classes differ between models, and two classes may share one; synsets tell them apart. WordNet comes with nltk
(`pip install 'lucid_port[wordnet]'`), and its corpus with `python -m nltk.downloader wordnet`; nothing is downloaded
here. Ids are those of WordNet 3.0: a letter for the part of speech and the offset, "n01484850".
"""

from __future__ import annotations

import functools
import re
import warnings
from typing import Any

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


def _wordnet() -> Any:
    """nltk's WordNet.

    Raises:
        ImportError: nltk is not installed.
        LookupError: nltk has no WordNet on this machine.
    """
    try:
        from nltk.corpus import wordnet
    except ImportError as error:
        raise ImportError("Synsets need nltk: pip install 'lucid_port[wordnet]'.") from error
    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise LookupError(
            "nltk finds no WordNet on this machine: get it once with `python -m nltk.downloader wordnet`."
        ) from error
    return wordnet


def id_from_synset(synset: Any) -> str:
    """A synset's id: "n01484850" for great_white_shark.n.01."""
    return f"{synset.pos()}{synset.offset():08}"


def synset_from_id(id_str: str) -> Any:
    """The synset of an id.

    Raises:
        ValueError: it is no id, or WordNet has no such synset.
        ImportError, LookupError: nltk or its WordNet is missing.
    """
    if not isinstance(id_str, str) or not _ID.fullmatch(id_str):
        raise ValueError(f"A synset's id is a letter and eight digits, such as n01484850, not {id_str!r}.")
    wordnet = _wordnet()
    from nltk.corpus.reader.wordnet import WordNetError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # nltk warns and gives None, or raises, as its version is
            synset = wordnet.synset_from_pos_and_offset(id_str[0], int(id_str[1:]))
    except WordNetError:
        synset = None
    if synset is None:
        raise ValueError(f"WordNet has no synset {id_str}.")
    return synset


@functools.cache
def _imagenet_synset_ids() -> tuple[str, ...]:
    return tuple(label_lists()[IMAGENET_SYNSETS].read())


@functools.cache
def _imagenet_synsets() -> tuple[Any, ...]:
    return tuple(synset_from_id(name) for name in _imagenet_synset_ids())


def imagenet_synset_ids() -> list[str]:
    """The ids of ImageNet's 1000 classes, in ascending order, which is that of most networks' outputs."""
    return list(_imagenet_synset_ids())


def imagenet_synsets() -> list[Any]:
    """The synsets of ImageNet's 1000 classes, in the order of their ids.

    Raises:
        ImportError, LookupError: nltk or its WordNet is missing.
    """
    return list(_imagenet_synsets())


def imagenet_synset_from_description(search_term: str) -> Any:
    """The one synset of ImageNet's classes whose name contains a description.

    Args:
        search_term: a part of the name ("great_white_shark.n.01"), in any case, with blanks or underscores.

    Raises:
        ValueError: no name contains it, or several do; the error lists them.
        ImportError, LookupError: nltk or its WordNet is missing.
    """
    wanted = search_term.lower().replace(" ", "_")
    found = [synset for synset in _imagenet_synsets() if wanted in synset.name()]
    if not found:
        raise ValueError(f"No synset of ImageNet's has {search_term!r} in its name.")
    if len(found) > 1:
        names = ", ".join(synset.name() for synset in found)
        raise ValueError(f"{len(found)} synsets of ImageNet's have {search_term!r} in their names: {names}.")
    return found[0]
