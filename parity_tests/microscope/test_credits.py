"""Credits of photographs: both files, names that stand for several pictures, and damaged files."""

import pytest

from lucid_port.microscope.credits import read_credits

KEYS = ["cats/a.jpg", "dogs/a.jpg", "b é.png", "c.webp"]


def test_no_file_is_no_credit(tmp_path):
    assert read_credits(tmp_path, KEYS) == ({}, [])


def test_a_path_comes_before_a_name_and_a_name_before_the_star(tmp_path):
    (tmp_path / "credits.toml").write_text(
        '["cats/a.jpg"]\nauthor = "Path"\n["a.jpg"]\nauthor = "Name"\nlicense = "CC0"\n["*"]\nauthor = "Star"\n'
    )
    found, unused = read_credits(tmp_path, KEYS)
    assert {key: credit["author"] for key, credit in found.items()} == {
        "cats/a.jpg": "Path",
        "dogs/a.jpg": "Name",
        "b é.png": "Star",
        "c.webp": "Star",
    }
    assert found["dogs/a.jpg"]["license"] == "CC0"
    assert unused == []


def test_csv_leaves_out_empty_fields_and_takes_the_marks_of_spreadsheets(tmp_path):
    text = 'picture,title,author,license,source\nb é.png,"One, two",,CC BY 4.0,https://example.org/1\n'
    (tmp_path / "credits.csv").write_text(text, encoding="utf-8-sig")
    credit = {"title": "One, two", "license": "CC BY 4.0", "source": "https://example.org/1"}
    assert read_credits(tmp_path, KEYS) == ({"b é.png": credit}, [])


def test_names_of_no_picture_are_returned(tmp_path):
    (tmp_path / "credits.csv").write_text("picture,author\nz.png,A\nc.webp,B\n")
    assert read_credits(tmp_path, KEYS) == ({"c.webp": {"author": "B"}}, ["z.png"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("credits.toml", b'"c.webp" = 3\n', "'c.webp' is no table"),
        ("credits.toml", b'["c.webp"]\nauthors = "A"\n', "'c.webp' has 'authors': a credit has title, author"),
        ("credits.toml", b'["c.webp"]\nauthor = 3\n', "'author' that is no text"),
        ("credits.toml", b"[", "credits.toml"),
        ("credits.csv", b"name,author\nc.webp,A\n", "has no column 'picture'"),
        ("credits.csv", b"picture,author\nc.webp,\xff\n", "is not written in UTF-8"),
        ("credits.csv", b"picture,author\nc.webp,A,B\n", "line 2"),
        ("credits.csv", b"", "has no column 'picture'"),
    ],
)
def test_damaged_files_are_errors_that_name_the_place(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_credits(tmp_path, KEYS)
