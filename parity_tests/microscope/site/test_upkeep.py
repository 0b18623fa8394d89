"""Checking sites, taking pictures out of them, and comparing them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lucid_port.microscope.names import Places
from lucid_port.microscope.site.pages import write_site
from lucid_port.microscope.tables import open_site
from lucid_port.microscope.upkeep import check, compare, is_removed, remove
from parity_tests.microscope.site.made_up import HOSTILE, LAYERS, TOKENS, make_data

SOME = (LAYERS[1], LAYERS[2])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("site")
    make_data(root, SOME, pictures=40)
    write_site(root)
    return root


@pytest.fixture
def site(made, tmp_path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "site"))


def test_a_whole_site_has_no_fault(made):
    assert check(made) == []


def test_broken_links_and_missing_pictures_are_named(site):
    (site / "mixed3a" / "3.html").unlink()
    (site / "data" / "mixed3a" / "crops" / "0005.webp").unlink()
    found = {(finding.path, finding.reason) for finding in check(site)}
    assert ("mixed3a/2.html", "links to mixed3a/3.html, which is missing") in found
    assert ("mixed3a/5.html", "shows data/mixed3a/crops/0005.webp, which is missing") in found


def test_sizes_over_the_limits_are_named_and_working_files_do_not_count(site):
    (site / ".state" / "large").write_bytes(bytes(10**6))
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file() and ".state" not in path.parts)
    assert check(site, largest_site=size) == []
    assert [finding.path for finding in check(site, largest_site=size - 1)] == [""]
    largest = (site / "data" / "mixed3a" / "details.json").stat().st_size
    assert "data/mixed3a/details.json" in [finding.path for finding in check(site, largest_file=largest - 1)]


def shown_of(site: Path) -> int:
    """Number of the strongest picture of unit 3."""
    return int(open_site(site)["mixed3a"].examples.top.numbers[3, 0])


def test_a_removed_picture_is_in_no_file_of_the_site(site):
    number = shown_of(site)
    key = open_site(site).pictures.to_pylist()[number]["key"]
    before = open_site(site)
    expected = sum(
        int((one.numbers == number).sum())
        for layer in before
        for one in (
            before[layer].examples.top,
            before[layer].examples.bottom,
            *before[layer].examples.quantiles.values(),
        )
    )
    assert remove(site, key) == expected
    after = open_site(site)
    assert not Places(site).original(number).exists()
    for layer in after:
        assert np.isnan(after[layer].max[number]).all()
        examples = after[layer].examples
        assert all(
            (one.numbers != number).all() for one in (examples.top, examples.bottom, *examples.quantiles.values())
        )
    for path in site.rglob("*"):
        if path.is_file() and ".state" not in path.parts:
            assert key.encode() not in path.read_bytes(), path
        if path.suffix == ".html":
            assert f"originals/{Places(site).original(number).name}" not in path.read_text(encoding="utf-8"), path
    assert check(site) == []


def test_the_cell_of_a_removed_picture_is_gray_and_others_stay(site):
    number = shown_of(site)
    path = Places(site).crops("mixed3a", 3)
    before = np.asarray(Image.open(path).convert("RGB"), int)
    remove(site, number)
    after = np.asarray(Image.open(path).convert("RGB"), int)
    assert np.abs(after[8:-8, 8:88] - 128).max() < 6
    assert np.abs(after[:, 96 * 3 : 96 * 12] - before[:, 96 * 3 : 96 * 12]).mean() < 12
    assert open_site(site)["mixed3a"].details(3)["box"][0] is None
    assert open_site(site)["mixed3a"].details(3)["box"][4] is not None


def test_a_removed_picture_is_known_by_a_hash_alone(site):
    key = open_site(site).pictures.to_pylist()[7]["key"]
    remove(site, 7)
    manifest = open_site(site).manifest
    assert is_removed(manifest, key)
    assert not is_removed(manifest, "another.jpg")
    assert key not in json.dumps(manifest)
    assert manifest["problems"]["7"] == "it was removed"


def test_pictures_that_are_not_there_are_refused(site):
    with pytest.raises(ValueError, match=r"no picture 'none\.jpg'"):
        remove(site, "none.jpg")
    with pytest.raises(ValueError, match="no picture 40: it has 40 pictures"):
        remove(site, 40)
    remove(site, 3)
    with pytest.raises(ValueError, match="Picture 3 was already taken out"):
        remove(site, 3)


def test_a_site_beside_itself_matches_unit_by_unit(made, tmp_path):
    found = compare(made, made, tmp_path / "both")
    for comparison in found:
        alive = np.arange(len(comparison.units) - 1)  # the last unit is dead
        np.testing.assert_allclose(comparison.same[alive], 1, atol=1e-5)
        assert [comparison.matches[at] for at in alive] == [(comparison.layer, int(unit)) for unit in alive]
        assert comparison.matches[-1] is None
        assert np.isnan(comparison.best[-1])
    assert (tmp_path / "both" / "mixed3a" / "index.html").is_file()


def test_matches_are_those_of_numpys_correlations_over_the_common_pictures(made, tmp_path):
    make_data(tmp_path / "other", (TOKENS, LAYERS[1]), pictures=32, seed=5)
    write_site(tmp_path / "other")
    mixed, _ = compare(made, tmp_path / "other", tmp_path / "both")
    one, other = open_site(made), open_site(tmp_path / "other")
    lost = [int(number) for number in one.manifest["problems"] if number.isdigit()]
    rows = [row for row in range(32) if row not in lost]
    x = one["mixed3a"].max[rows].astype(float)[:, :-1]
    y = np.concatenate([other[name].max[rows].astype(float) for name in other], 1)
    with np.errstate(invalid="ignore"):
        whole = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    units = [(name, unit) for name in other for unit in other[name].entry["units"]]
    np.testing.assert_allclose(mixed.best[:-1], np.nanmax(whole, 1), atol=1e-5)
    assert list(mixed.matches[:-1]) == [units[at] for at in np.nanargmax(whole, 1)]
    assert np.isnan(compare(made, tmp_path / "other", tmp_path / "both")[1].same).all()  # the layer is in one site


def test_pages_of_a_comparison_escape_names_and_stand_alone(made, tmp_path):
    compare(made, made, tmp_path / "both")
    for page in (tmp_path / "both").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert HOSTILE not in text
        assert "MadeUp <net>" not in text
        assert str(made) not in text


def test_sites_without_common_pictures_are_refused(made, site, tmp_path):
    make_data(tmp_path / "other", (LAYERS[1],), pictures=2)
    with pytest.raises(ValueError, match="have 2 pictures in common"):
        compare(made, tmp_path / "other", tmp_path / "both")
