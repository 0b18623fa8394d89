"""Feature visualisation by optimisation: Lucid's `optvis` in PyTorch.

Modules carry Lucid's names: `objectives`, `param`, `transform`, `render`, `style` and
`overrides`; `sampling` owns every random draw and `optimizer` TensorFlow's Adam.
"""
