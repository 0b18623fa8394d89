"""Pages of a made-up site: complete, escaped, linked, small, and written only when they change."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

from lucid_port.microscope.names import Places
from lucid_port.microscope.site import pages
from lucid_port.microscope.site.pages import write_site
from lucid_port.microscope.tables import open_site, write_units
from parity_tests.microscope.site.made_up import HOSTILE, LABELS, LAYERS, TOKENS, MadeUpLayer, make_data

NOTES = '["mixed3a:3"]\ntitle = "Black & <white>"\nnote = "See <b>7</b>."\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("site")
    make_data(root, (*LAYERS, TOKENS), pictures=40)
    (root / "notes.toml").write_text(NOTES, encoding="utf-8")
    write_site(root)
    return root


@pytest.fixture
def site(made, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "site", dirs_exist_ok=True))


def all_pages(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.html"))


class Addresses(html.parser.HTMLParser):
    """Collects the addresses, tags and ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]


def test_every_link_and_picture_of_every_page_is_there(made):
    broken = []
    for page in all_pages(made):
        for address in Addresses(page.read_text(encoding="utf-8")).addresses:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            assert not parts.scheme, f"{page} loads {address}"
            assert not parts.netloc, f"{page} loads {address}"
            if not (page.parent / unquote(parts.path)).exists():
                broken.append((page.name, address))
    assert broken == []


def test_there_is_a_page_for_each_layer_and_unit_and_one_for_microscopes_addresses(made):
    places = Places(made)
    for layer in (*LAYERS, TOKENS):
        assert places.page(layer.name).is_file()
        assert all(places.page(layer.name, unit).is_file() for unit in range(layer.units))
        assert f"../{places.folder(layer.name)}/index.html" in places.redirect(layer.name).read_text()
    assert places.missing_page.is_file()


def test_names_labels_notes_and_credits_are_text_not_html(made):
    for page in all_pages(made):
        text = page.read_text(encoding="utf-8")
        for given in (HOSTILE, "<i>fur</i>", "MadeUp <net>", "A. <b>Nother</b>", "<white>", "<b>7</b>", "<b>empty</b>"):
            assert given not in text, f"{page.name} holds {given} unescaped"
    unit = (made / "mixed3a" / "3.html").read_text(encoding="utf-8")
    assert "Black &amp; &lt;white&gt;" in unit
    assert "See &lt;b&gt;7&lt;/b&gt;." in unit


def test_scripts_hold_untrusted_names_as_json_that_cannot_end_the_script(made):
    text = (made / "assets" / "search-index.js").read_text(encoding="utf-8")
    assert "</" not in text
    data = json.loads(text.removeprefix("window.lucidSearch=").removesuffix(";\n"))
    layers = {layer[0]: layer for layer in data["layers"]}
    assert set(layers) == {layer.name for layer in (*LAYERS, TOKENS)}
    assert layers["mixed3a"][3][3][2:] == ["Black & <white>", "See <b>7</b>."]
    assert set(data["labels"]) <= set(LABELS)


def test_a_unit_page_shows_its_examples_in_the_order_of_the_sprite(made):
    page = Addresses((made / "mixed3a" / "3.html").read_text(encoding="utf-8"))
    crops = [tag for tag in page.tags if tag[0] == "img" and "crops" in (tag[1].get("src") or "")]
    columns = [int(re.search(r"--x:(\d+)", tag[1]["style"]).group(1)) for tag in crops]
    assert columns == [*range(12), *range(17, 27), *range(12, 17)]  # the weakest stand last
    cells = [tag[1]["style"] for tag in page.tags if tag[1].get("class") == "cell"]
    assert cells == ["left:35.0%;top:35.0%;width:25.0%;height:25.0%"] * 27


def test_a_token_without_a_place_is_named_and_has_no_outline(made):
    folder = made / Places(made).folder(TOKENS.name)
    examples = np.load(made / "data" / folder.name / "place.npy")
    assert (examples == 0).any()
    texts = [(folder / f"{unit}.html").read_text(encoding="utf-8") for unit in range(1, TOKENS.units, 2)]
    assert all('class="cell"' not in text for text in texts)
    assert any("cls_token" in text for text in texts)


def test_a_dead_unit_says_so_and_others_do_not(made):
    last = LAYERS[1].units - 1
    assert "This unit is dead here" in (made / "mixed3a" / f"{last}.html").read_text(encoding="utf-8")
    assert "This unit is dead here" not in (made / "mixed3a" / "3.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("share", "is_weak"), [(0.4, True), (0.6, False)])
def test_a_render_that_reaches_less_than_half_of_the_data_is_warned_of(site, share, is_weak):
    rows = open_site(site).units.to_pylist()
    for row in rows:
        row |= {name: share * row["maximum"] for name in row if name.startswith("value_")}
    write_units(site, rows)
    write_site(site)
    text = (site / "mixed3a" / "3.html").read_text(encoding="utf-8")
    assert ("more than twice as much as these renders do: Positive channel; Neuron" in text) == is_weak
    dead = (site / "mixed3a" / f"{LAYERS[1].units - 1}.html").read_text(encoding="utf-8")
    assert "twice as much" not in dead


def test_neighbors_are_named_for_the_keyboard(made):
    page = Addresses((made / "mixed3a" / "3.html").read_text(encoding="utf-8"))
    keys = {tag[1]["data-key"]: tag[1]["href"] for tag in page.tags if tag[0] == "link" and "data-key" in tag[1]}
    folder = Places(made).folder(HOSTILE)
    assert keys == {
        "ArrowLeft": "../mixed3a/2.html",
        "ArrowRight": "../mixed3a/4.html",
        "[": "../conv2d0/index.html",
        "]": f"../{folder}/index.html",
    }


def test_every_picture_has_a_text_and_every_page_one_heading(made):
    for page in all_pages(made):
        tags = Addresses(page.read_text(encoding="utf-8")).tags
        assert all("alt" in attributes for tag, attributes in tags if tag == "img"), page
        if "refresh" not in page.read_text(encoding="utf-8"):
            assert sum(tag == "h1" for tag, _ in tags) == 1, page


def test_a_second_run_writes_nothing_and_reads_no_table(site, monkeypatch):
    write_site(site)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*")}
    monkeypatch.setattr(pages, "Reader", None)
    assert write_site(site).changed == 0
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*")} == before


def test_only_pages_that_change_are_written(site):
    write_site(site)
    (site / "notes.toml").write_text(NOTES + '["conv2d0:5"]\nnote = "New."\n', encoding="utf-8")
    written = write_site(site)
    assert written.changed == 2  # the unit, and the index of the search
    assert "New." in (site / "conv2d0" / "5.html").read_text(encoding="utf-8")


def test_a_page_that_was_deleted_or_damaged_comes_back(site):
    write_site(site)
    (site / "conv2d0" / "5.html").unlink()
    (site / "index.html").write_text("broken")
    assert write_site(site).changed == 2


def test_a_render_that_changes_changes_its_sprite_and_icon(site):
    write_site(site)
    places = Places(site)
    Image.new("RGB", (64, 64), (255, 0, 0)).save(places.render("conv2d0", "channel", 9), "WEBP")
    write_site(site)
    icon = Image.open(site / "assets" / "conv2d0" / "icons" / "0009.webp").convert("RGB")
    assert np.abs(np.asarray(icon.resize((1, 1)), int) - [255, 0, 0]).max() < 12
    sprite = Image.open(site / "assets" / "conv2d0" / "sprite-0.webp").convert("RGB")
    side = sprite.width // 8
    assert np.abs(np.array(sprite.getpixel((side + side // 2, side + side // 2))) - [255, 0, 0]).max() < 12


def test_pages_of_units_that_the_site_no_longer_has_are_removed(site):
    write_site(site)
    manifest = json.loads((site / "data" / "manifest.json").read_text())
    manifest["layers"][0]["units"].remove(4)
    (site / "data" / "manifest.json").write_text(json.dumps(manifest))
    assert write_site(site).removed == 2  # its page and its icon
    assert not (site / "conv2d0" / "4.html").exists()


def test_a_note_that_is_no_table_is_refused(site):
    (site / "notes.toml").write_text('"mixed3a:3" = "a text"\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"notes.toml: 'mixed3a:3' is no table of texts"):
        write_site(site)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no site"):
        write_site(tmp_path)


def test_a_layer_of_many_units_has_a_light_page(tmp_path):
    """Weight before scrolling at 1440 x 900: page, style, scripts, DeepDream, sprites of 20 rows of 12 units."""
    layer = MadeUpLayer("mixed4d", 832, (7, 7), (180, 16))
    make_data(tmp_path, (layer,), pictures=30, size=128)
    write_site(tmp_path)
    names = ["mixed4d/index.html", "assets/style.css", "assets/script.js", "assets/mixed4d/units.js"]
    names += ["data/mixed4d/deepdream.webp", *(f"assets/mixed4d/sprite-{number}.webp" for number in range(4))]
    assert sum((tmp_path / name).stat().st_size for name in names) < 1.5e6
    page = Addresses((tmp_path / "mixed4d" / "7.html").read_text(encoding="utf-8")).addresses
    files = {(tmp_path / "mixed4d" / unquote(urlsplit(one).path)).resolve() for one in page if "originals" not in one}
    pictures = [path for path in files if path.suffix in (".webp", ".css", ".js", ".svg")]
    assert sum(path.stat().st_size for path in pictures) + (tmp_path / "mixed4d" / "7.html").stat().st_size < 4e5
