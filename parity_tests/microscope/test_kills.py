"""A run that is killed at random moments: `python -m parity_tests.microscope_kills` is the long form."""

import sys

import pytest

from parity_tests import microscope_kills

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor SIGKILL"),
]


@pytest.mark.parametrize("name", microscope_kills.JOBS)
def test_a_killed_run_goes_on_to_the_same_site(name):
    tries = microscope_kills.run(3, 1, [name])
    assert sum(moment is not None for one in tries for moment in one.kills) == 3
    assert [fault for one in tries for fault in one.faults] == []


def test_a_site_with_another_file_is_found(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("half")
    (tmp_path / "site" / ".x.00000000.partial").write_text("half")
    usual = microscope_kills.Usual({}, {"site/index.html": b"whole", "site/404.html": b""}, 1.0, 1)
    assert list(microscope_kills.faults_after_a_kill(tmp_path, usual)) == [
        "site/index.html is neither the old file nor the new one"
    ]
    assert list(microscope_kills.faults_at_the_end(tmp_path, usual)) == [
        "site/404.html is missing at the end",
        "site/index.html is other at the end",
        "site/.x.00000000.partial is left at the end",
    ]
