"""Synsets, on a WordNet of a few synsets that lie where the real ones do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo import vision_models, wordnet
from lucid_port.modelzoo.catalogue import LabelList

# nltk says that its WordNet is in English alone.
pytestmark = pytest.mark.filterwarnings("ignore:The multilingual functions are not available")

NOUNS = {"n01440764": "tench", "n01484850": "great_white_shark", "n01491361": "tiger_shark", "n02119789": "kit_fox"}


def write_wordnet(folder: Path) -> None:
    """The files of WordNet 3.0 with `NOUNS` alone; their records stand at the byte that their id names."""
    folder.mkdir(parents=True)
    for name in ("cntlist.rev", "index.sense", *(f"{kind}.exc" for kind in ("adj", "adv", "noun", "verb"))):
        (folder / name).touch()
    for kind in ("adj", "adv", "verb"):
        (folder / f"index.{kind}").touch()
        (folder / f"data.{kind}").touch()
    (folder / "lexnames").write_text("".join(f"{number:02}\tnoun.kind{number}\t1\n" for number in range(6)))
    with (folder / "data.noun").open("wb") as data:
        for name, lemma in NOUNS.items():
            data.seek(int(name[1:]))
            data.write(f"{name[1:]} 05 n 01 {lemma} 0 000 | a kind\n".encode())
    lines = [f"{lemma} n 1 0 1 0 {name[1:]}  \n" for name, lemma in sorted(NOUNS.items(), key=lambda item: item[1])]
    (folder / "index.noun").write_text("".join(lines))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nltk_data")
    write_wordnet(folder / "corpora" / "wordnet")
    return folder


def reload_wordnet(folder: Path, monkeypatch) -> None:
    """nltk looks for WordNet anew, in this folder alone."""
    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [str(folder)])
    monkeypatch.setattr(nltk.corpus, "wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))


@pytest.fixture
def small_wordnet(corpus, monkeypatch):
    """nltk reads this WordNet; ImageNet has its synsets alone."""
    reload_wordnet(corpus, monkeypatch)
    monkeypatch.setattr(wordnet, "imagenet_synset_ids", lambda: list(NOUNS))
    wordnet._imagenet_synsets.cache_clear()
    yield
    wordnet._imagenet_synsets.cache_clear()


def test_ids_and_synsets(small_wordnet):
    synset = wordnet.synset_from_id("n01484850")
    assert synset.name() == "great_white_shark.n.01"
    assert wordnet.id_from_synset(synset) == "n01484850"


@pytest.mark.parametrize("name", ["01484850", "n1484850", "x01484850", "n014848500", 1484850])
def test_what_is_no_id(name):
    with pytest.raises(ValueError, match="a letter and eight digits"):
        wordnet.synset_from_id(name)


def test_an_id_that_wordnet_does_not_have(small_wordnet):
    with pytest.raises(ValueError, match="WordNet has no synset n01484851"):
        wordnet.synset_from_id("n01484851")


def test_imagenets_synsets(small_wordnet):
    assert [synset.name() for synset in wordnet.imagenet_synsets()] == [f"{lemma}.n.01" for lemma in NOUNS.values()]


def test_imagenets_ids_need_no_wordnet():
    ids = wordnet.imagenet_synset_ids()
    assert (len(ids), ids[0]) == (1000, "n01440764")
    ids.clear()
    assert len(wordnet.imagenet_synset_ids()) == 1000


@pytest.mark.parametrize("term", ["great white shark", "Great_White", "KIT FOX", "tench.n"])
def test_a_description_that_one_synset_fits(small_wordnet, term):
    assert term.lower().replace(" ", "_") in wordnet.imagenet_synset_from_description(term).name()


def test_a_description_that_none_fits(small_wordnet):
    with pytest.raises(ValueError, match="No synset of ImageNet's has 'unicorn' in its name"):
        wordnet.imagenet_synset_from_description("unicorn")


def test_a_description_that_several_fit_lists_them(small_wordnet):
    with pytest.raises(ValueError, match=r"2 synsets .* 'shark' .*: great_white_shark\.n\.01, tiger_shark\.n\.01"):
        wordnet.imagenet_synset_from_description("shark")


def test_a_models_synsets(small_wordnet, tmp_path, monkeypatch):
    graph = GraphWriter()
    graph.op("same", "Identity", [graph.placeholder("input", [None, None, None, 3])])
    model = vision_models.InceptionV1(graph.write(tmp_path / "identity.pb"))
    monkeypatch.setattr(LabelList, "read", lambda self: ["dummy", "n02119789", "n01491361"])
    first, second, third = model.synsets
    assert (first, second.name(), third.name()) == (None, "kit_fox.n.01", "tiger_shark.n.01")


def test_without_nltk_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[wordnet\]'"):
        wordnet.synset_from_id("n01484850")


def test_without_the_corpus_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    reload_wordnet(tmp_path, monkeypatch)
    with pytest.raises(LookupError, match=r"python -m nltk\.downloader wordnet"):
        wordnet.synset_from_id("n01484850")


def test_importing_it_imports_no_nltk():
    code = "import sys, lucid_port.modelzoo.wordnet; sys.exit('nltk' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
