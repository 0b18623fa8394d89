"""Receptive fields: the pixels of the image that a value depends on, found by following the ops of one pass.

Each value of a pass has marks: for each of its elements, the first and last row and column of the image on which the
element depends. A mark of a convolution's output is the minimum over the marks in its window, that of a sum is the
minimum over its operands, and so on: the rules are exact for convolutions, pools, resizing, padding, products of
matrices, attention, reductions, elementwise functions and functions that move values. Other functions get one box
around all marks of their inputs, and are not exact.

A field says on which pixels a value can depend. It takes no account of weights that are zero.
"""
