"""Lucid's layer names of InceptionV1 for the same network under other names.

Lucid's InceptionV1 has the layers `conv2d0`, `mixed4a`, `mixed4a_3x3_bottleneck`, ..., which Distill's articles use.
Networks of the same topology that were trained elsewhere have other names, such as `inception_4a_output`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.program.program import Program, Step

__all__ = ["lucid_names"]

MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
BRANCHES = (("1x1",), ("3x3", "3x3_bottleneck"), ("5x5", "5x5_bottleneck"), ("pool_reduce",))
"""ReLUs of each branch of a module, from its end backwards."""

_RELUS = ("Relu", "Relu6")
_PRE_RELU = "_pre_relu"


def lucid_names(program: Program) -> dict[str, str]:
    """Returns Lucid's name -> the network's own name for the layers of an InceptionV1; empty for other networks.

    A network is an InceptionV1 if it has three convolutions with ReLUs before nine modules of four branches: a
    convolution, two times two convolutions, and a pool and a convolution.
    """
    steps = {step.name: step for step in program.steps}
    joins = [step for step in program.steps if step.layer == "Concat" and not step.name.endswith(_PRE_RELU)]
    if len(joins) != len(MODULES) or any(len(join.inputs) != len(BRANCHES) for join in joins):
        return {}
    names: dict[str, str] = {}
    for module, join in zip(MODULES, joins, strict=True):
        names |= _with_pre_relu(f"mixed{module}", join.name, f"{join.name}{_PRE_RELU}", steps)
        for source, branch in zip(join.inputs, BRANCHES, strict=True):
            chain = _chain(steps, source.node)
            relus = [step for step in chain if step.op in _RELUS][: len(branch)]
            if len(relus) != len(branch) or relus[0] is not chain[0]:
                return {}
            for relu, name in zip(relus, branch, strict=True):
                names |= _with_pre_relu(f"mixed{module}_{name}", relu.name, str(relu.inputs[0]), steps)
    stem = [step for step in _chain(steps, joins[0].inputs[0].node) if step.op in _RELUS][1:]
    if len(stem) != 3:
        return {}
    for number, relu in enumerate(reversed(stem)):
        names |= _with_pre_relu(f"conv2d{number}", relu.name, str(relu.inputs[0]), steps)
    softmaxes = [step for step in program.steps if step.op == "Softmax"]
    if softmaxes:
        names |= {"softmax2": softmaxes[-1].name, "softmax2_pre_activation": str(softmaxes[-1].inputs[0])}
    return names


def _chain(steps: Mapping[str, Step], name: str) -> Sequence[Step]:
    """Returns a step and those before it, up to a step with several inputs."""
    chain: list[Step] = []
    while name in steps:
        step = steps[name]
        chain.append(step)
        if len(step.inputs) != 1:
            break
        name = step.inputs[0].node
    return chain


def _with_pre_relu(name: str, own: str, before: str, steps: Mapping[str, Step]) -> dict[str, str]:
    return {name: own, **({f"{name}{_PRE_RELU}": before} if before in steps else {})}
