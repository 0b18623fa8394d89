"""The command line: `lucid-port`."""

from lucid_port.cli.app import main

__all__ = ["main"]
