"""`lucid-port doctor`: what it finds, and what it says of what is not there."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
import torch

from lucid_port import __version__
from lucid_port.cli import doctor, main


@pytest.fixture
def found(capsys):
    def run():
        assert main(["doctor", "--json"]) == 0
        return {(row["what"], row["name"]): row["found"] for row in json.loads(capsys.readouterr().out)}

    return run


def test_versions_and_devices(found):
    rows = found()
    assert rows["version", "lucid_port"] == __version__
    assert rows["version", "torch"] == importlib.metadata.version("torch")
    assert rows["device", "cpu"] == f"{torch.get_num_threads()} threads"
    assert ("device", "cuda") in rows or ("device", "cuda:0") in rows


def test_models_that_are_here(found, tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    assert ("model", "InceptionV1") not in found()
    (tmp_path / "InceptionV1.pb").write_bytes(b"x")
    assert found()["model", "InceptionV1"] == str(tmp_path / "InceptionV1.pb")


def test_a_search_path_that_leads_nowhere(found, tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path / "gone"))
    assert "THERE IS NO SUCH FOLDER" in found()["folder", "LUCID_PORT_MODELZOO"]
    monkeypatch.delenv("LUCID_PORT_MODELZOO")
    assert "not set" in found()["folder", "LUCID_PORT_MODELZOO"]


def test_packages_that_are_missing(found, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    rows = found()
    assert rows["optional", "torchvision"] == "not installed; for models of torchvision"
    assert rows["version", "torch"].startswith("MISSING")
