"""Helpers of lucid_port.misc."""
