"""`lucid-port models`: the models that are known by name, and which of them are here."""

from __future__ import annotations

from lucid_port.cli.console import Json, print_table


def command(json: Json = False) -> None:
    """List the models known by name, and where each is on this machine.

    Example: LUCID_PORT_MODELZOO=~/models lucid-port models
    """
    from lucid_port.modelzoo.catalogue import catalogue
    from lucid_port.modelzoo.files import whereabouts

    rows = [(entry.name, entry.dataset, whereabouts(entry), entry.description) for entry in catalogue().values()]
    print_table(("name", "dataset", "found", "description"), rows, json)
