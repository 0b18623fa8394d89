"""Feature visualisation by optimisation: Lucid's `optvis` in PyTorch.

Modules carry Lucid's names: `objectives`, `param`, `transform`, `render`, `style` and
`overrides`; `sampling` owns every random draw and `optimizer` TensorFlow's Adam.
"""

from converters.renamed import keep_old_names

keep_old_names(
    __name__,
    {
        "arguments": "engine.coerce",
        "batching": "many.workers",
        "diagnostics": "engine.diagnostics",
        "live": "notebook",
        "objectives.units": "objectives.neurons",
        "plain": "serialization",
        "streaming": "many.picture_folder",
        "unit_batches": "many.setup",
        "units": "many.unit_spec",
        "vis": "engine.vis",
    },
)
