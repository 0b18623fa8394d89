"""Makes renders of Lucid 0.3.10 run on TensorFlow 2. Import this module before Lucid.

On TensorFlow 1.15 itself this does nothing. On TensorFlow 2:

- `tensorflow` is TensorFlow 2's own v1 API, with v2 behaviour off.
- `tensorflow.contrib.image.rotate`, which TensorFlow 2 removed, uses the op ImageProjectiveTransform, which still
  exists with its gradient. So the standard transforms are complete. Interpolation is nearest neighbour, the old
  default.
- `tensorflow.contrib.slim` is an empty module: Lucid imports it for its CPPN.
- The aliases that numpy has removed are restored.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf

VERSION = tensorflow.__version__


def rotate(images: Any, angle: Any) -> Any:
    """Replaces `tensorflow.contrib.image.rotate`: NHWC images, one angle in radians, about the centre, same size."""
    size = tf.shape(images)[1:3]
    bottom, right = (tf.cast(size[axis] - 1, tf.float32) for axis in (0, 1))
    cos, sin, zero = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle)
    x_offset = (right - (cos * right - sin * bottom)) / 2
    y_offset = (bottom - (sin * right + cos * bottom)) / 2
    rows = tf.stack([cos, -sin, x_offset, sin, cos, y_offset, zero, zero])[None]
    return tf.raw_ops.ImageProjectiveTransformV2(
        images=images, transforms=rows, output_shape=size, interpolation="NEAREST"
    )


def _install() -> None:
    tf.disable_v2_behavior()
    for name, kind in {"int": int, "float": float, "bool": bool, "object": object}.items():
        if name not in np.__dict__:
            setattr(np, name, kind)
    contrib = types.ModuleType("tensorflow.contrib")
    slim = types.ModuleType("tensorflow.contrib.slim")
    vars(contrib).update(image=types.SimpleNamespace(rotate=rotate), slim=slim)
    tf.contrib = contrib
    sys.modules.update({"tensorflow": tf, contrib.__name__: contrib, slim.__name__: slim})


if not VERSION.startswith("1."):
    _install()
