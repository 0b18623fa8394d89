"""The page of `lucid-port parity`."""

from __future__ import annotations

import json
import re

import pytest

from converters.reference.store import References
from lucid_port.cli import main, parity
from lucid_port.cli.report import Comparison, page, pictures_of, read_log

REFERENCES = References("graph", "0" * 64, "a <graph>", {})


def rows_of(text: str) -> list[str]:
    return text.split("<tr")[1:]


def test_failures_come_first_then_the_largest_share_of_the_bound():
    layers = [
        Comparison("good", "", 2e-7, 1e-5),
        Comparison("near", "", 9e-6, 1e-5),
        Comparison("bad", "", 2e-5, 1e-5),
        Comparison("larger but far from its bound", "", 1e-4, 1e-2),
    ]
    found = rows_of(page("model", REFERENCES, layers, [], ""))[1:]
    order = [next(name for name in ("good", "near", "bad", "larger") if f"<td>{name}" in row) for row in found]
    assert order == ["bad", "near", "good", "larger"]
    assert "class=failed" in found[0]
    assert not any("class=failed" in row for row in found[1:])


def test_names_are_escaped():
    text = page("<script>", REFERENCES, [Comparison("<b>", "&", 0, 0)], [], "")
    assert "<script>" not in text
    assert "<td>&lt;b&gt;</td><td>&amp;</td>" in text
    assert "a &lt;graph&gt;" in text


def test_pictures_are_inside_the_page(tmp_path):
    path = tmp_path / "sheet.jpg"
    assert pictures_of(path) == ""
    path.write_bytes(b"picture")
    assert "data:image/jpeg;base64,cGljdHVyZQ==" in pictures_of(path)


def test_comparisons_that_tests_record_are_read_back(tmp_path, monkeypatch):
    from parity_tests.comparisons import record

    monkeypatch.setenv("LUCID_PORT_PARITY_LOG", str(tmp_path / "log"))
    record(1e-7, 1e-5, "gradient")
    (found,) = read_log(tmp_path / "log")
    assert "test_comparisons_that_tests_record_are_read_back" in found.name
    assert (found.detail, found.error, found.bound) == ("gradient", 1e-7, 1e-5)


@pytest.mark.parametrize(("error", "code"), [(1e-6, 0), (2e-5, 1)])
def test_the_command_writes_the_page_and_fails_beyond_a_bound(tmp_path, monkeypatch, capsys, error, code):
    from converters.reference import check

    row = check.LayerCheck("224", "conv2d0", "activation", error, 1e-5, (1,), (1,))
    monkeypatch.setattr(check, "check_model", lambda *args, **kwargs: [row])
    assert main(["parity", "InceptionV1_seeded", "-o", str(tmp_path / "page.html"), "--no-functions"]) == code
    assert "activation conv2d0" in (tmp_path / "page.html").read_text()
    assert ("beyond their bounds" in capsys.readouterr().err) == bool(code)


def test_function_comparisons_need_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="--no-functions"):
        parity._function_comparisons()


def test_the_comparisons_are_in_the_files_that_are_run():
    tests = parity.ROOT / "parity_tests"
    compares = re.compile(r"^from parity_tests\.(comparisons|optvis\.cases) import", re.MULTILINE)
    found = {
        path.relative_to(parity.ROOT).as_posix()
        for path in tests.rglob("test_*.py")
        if compares.search(path.read_text())
    }
    assert found - {"parity_tests/cli/test_report.py"} == set(parity.TESTS)


def test_function_comparisons_are_those_of_the_tests(monkeypatch):
    monkeypatch.setattr(parity, "TESTS", ("parity_tests/optvis/test_transforms_oracle.py", "-k", "jitter"))
    found = parity._function_comparisons()
    assert found
    assert all(one.passed and "jitter" in json.dumps(one.name) for one in found)
