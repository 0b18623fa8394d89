"""Redirected ReLU gradients at Lucid's import path; see `lucid_port.optvis.overrides`."""

from __future__ import annotations

from lucid_port.optvis.overrides import redirected_relu6_grad, redirected_relu_grad, redirection

__all__ = ["redirected_relu6_grad", "redirected_relu_grad", "redirection"]
