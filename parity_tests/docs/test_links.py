"""What pages point to is there: pages, headings, files, commands."""

from __future__ import annotations

import configparser
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lucid_port.cli.app import app
from parity_tests.docs import PAGES, ROOT, commands, prose

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(page: Path) -> list[str]:
    text = re.sub(r"`[^`]*`", "", prose(page))
    return [next(part for part in found if part) for found in LINK.findall(text)]


def anchors(page: Path) -> set[str]:
    """The places of a page that a link can point to: its headings, as both GitHub and the site name them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"\s+", "-", word) for word in words}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)} links to {link}, but {target.name} has no such heading"


def known_commands() -> tuple[Any, Any]:
    group: Any = typer.main.get_command(app)
    return group, group.make_context("lucid-port", [], resilient_parsing=True)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_their_options_exist(page: Path) -> None:
    group, context = known_commands()
    own = {option for parameter in group.get_params(context) for option in parameter.opts}
    for line in commands(page, "lucid-port"):
        words = shlex.split(line)[1:]
        if words[0] in own or words[0].isupper():  # lucid-port --version; lucid-port COMMAND
            continue
        assert words[0] in group.list_commands(context), f"{name(page)}: {line}"
        command = group.get_command(context, words[0])
        inner = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        if hasattr(command, "commands"):  # microscope MODEL stands for microscope make MODEL
            named = words[1] if words[1:2] and words[1] in command.commands else "make"
            command = command.commands[named]
            inner = command.make_context(command.name, [], parent=inner, resilient_parsing=True)
        known = {one for parameter in command.get_params(inner) for one in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known | own, f"{name(page)}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_scripts_and_modules_exist(page: Path) -> None:
    for line in commands(page, "python"):
        words = shlex.split(line)[1:]
        if words[0] == "-m":
            assert words[1] in ("venv", "nltk.downloader") or find_spec(words[1]) is not None, f"{name(page)}: {line}"
        elif words[0].endswith(".py") and "/" in words[0]:
            assert (ROOT / words[0]).is_file(), f"{name(page)}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_environments_of_tox_exist(page: Path) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "tox.ini")
    for line in commands(page, "tox"):
        environment = shlex.split(line)[2]
        assert f"testenv:{environment}" in settings, f"{name(page)}: {line}"
