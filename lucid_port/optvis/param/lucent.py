"""The error for `params, image_f = param.image(128)`, which Lucent's notebooks write."""

from __future__ import annotations

import opcode
import sys
from collections.abc import Sized

__all__ = ["refuse_lucents_pair"]


def refuse_lucents_pair(images: Sized) -> None:
    """Raises an error if the caller's caller unpacks another number of images than two into two names.

    Python's own error counts images, and does not say how the parameters are reached here.

    Raises:
        ValueError: It does.
    """
    code = sys._getframe(2).f_code.co_code
    place = sys._getframe(2).f_lasti
    unpacks_two = opcode.opname[code[place]] == "UNPACK_SEQUENCE" and code[place + 1] == 2
    if unpacks_two and len(images) != 2:
        raise ValueError(
            "A parameterization is one module, not the pair (parameters, function) of Lucent: write p = "
            "param.image(128), where p() is the image and p.parameters() are its parameters."
        )
