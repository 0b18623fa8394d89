"""TensorFlow 1's Adam.

TensorFlow adds epsilon outside of the bias correction ("epsilon hat" in Kingma and Ba, section 2),
`torch.optim.Adam` inside. With gradients near 1e-8, common in the high frequencies of a Fourier
parameterization, the first steps of the two differ by a factor of ten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked

__all__ = ["TFAdam"]


class TFAdam(torch.optim.Optimizer):
    """Adam as `tf.train.AdamOptimizer` computes it.

    `p -= lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)`

    The powers of the betas are accumulated in float32 by repeated multiplication, as in TensorFlow.
    After some hundred steps this differs from `beta ** t`.

    Args:
        params: Tensors or parameter groups.
        lr: Learning rate. Lucid uses 0.05, which is the default; TensorFlow's default is 0.001.
        betas: Decays of the first and second moment, in [0, 1).
        eps: Constant added to `sqrt(v)`, without bias correction.

    Raises:
        TypeError: A hyperparameter is not a number.
        ValueError: A hyperparameter is out of range.

    Example:
        >>> x = torch.tensor([1.0], requires_grad=True)
        >>> optimizer = TFAdam([x], lr=0.25)
        >>> (x**2).sum().backward()
        >>> optimizer.step()
        >>> x.detach().round(decimals=4)
        tensor([0.7500])
    """

    @checked
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        given = [lr, eps, *checks.items(betas, "TFAdam's betas", "a pair of numbers")]
        if not all(isinstance(value, Real) for value in given):
            raise TypeError(f"TFAdam got lr={lr}, betas={checks.shown(betas)}, eps={eps}: they are numbers.")
        in_range = 0 <= lr < math.inf and 0 <= eps < math.inf and all(0 <= beta < 1 for beta in given[2:])
        if not in_range or len(given) != 4:
            raise ValueError(f"TFAdam got lr={lr}, betas={checks.shown(betas)}, eps={eps}: out of range.")
        leaves = checks.items(params, "TFAdam's params", "a list of tensors")
        wrong = next((one for one in leaves if not isinstance(one, (torch.Tensor, dict, tuple))), None)
        if not leaves or wrong is not None:
            raise TypeError(f"TFAdam's params is a list of tensors, not {checks.shown(leaves)}.")
        super().__init__(leaves, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates all parameters that have a gradient; returns the value of the closure, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        beta1, beta2 = (np.float32(beta) for beta in group["betas"])
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["beta1_power"], state["beta2_power"] = float(beta1), float(beta2)
        one = np.float32(1)
        power1, power2 = np.float32(state["beta1_power"]), np.float32(state["beta2_power"])
        rate = np.float32(group["lr"]) * np.sqrt(one - power2) / (one - power1)
        state["exp_avg"].lerp_(gradient, float(one - beta1))
        square = state["exp_avg_sq"]
        square.lerp_(gradient * gradient, float(one - beta2))
        denominator = square.sqrt().add_(group["eps"])
        parameter.addcdiv_(state["exp_avg"], denominator, value=-float(rate))
        state["beta1_power"], state["beta2_power"] = float(power1 * beta1), float(power2 * beta2)
