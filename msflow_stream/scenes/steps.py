"""The steps of a fit: gradients change the weights, and what they came to is told when it is asked for.

On a GPU no step is waited for: losses and norms stay where they are until many are looked at together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_SCALE = 2**-14  # of the loss: float16 gradients that overflow here too are taken for divergence
STEPS_UNSEEN = 64  # on a GPU, before the host looks whether the fit diverges


class DivergenceError(ArithmeticError):
    """A loss or gradient that is not finite."""


class Steps:
    """The way from gradients to changed weights: a clipped norm, and a scale where convolutions are float16's.

    Args:
        parameters: all on one device.
        clip: the largest norm of all gradients.
        dtype: that of the convolutions.

    Attributes:
        scaler: scales the loss.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], clip: float, dtype: torch.dtype) -> None:
        self.parameters, self.clip = parameters, clip
        device = parameters[0].device
        self._unseen = 1 if device.type == "cpu" else STEPS_UNSEEN
        self._optimizer = torch.optim.Adam(parameters, fused=True)
        self.scaler = torch.amp.GradScaler(device.type, 1.0, enabled=dtype == torch.float16)
        self._unit = torch.full((), float(self.scaler.is_enabled()), device=device)

    def begin(self, number: int, learning_rate: float) -> PassLosses:
        """Returns the account of pass `number` (from 1), which has this learning rate."""
        self._optimizer.param_groups[0]["lr"] = learning_rate
        return PassLosses(number, self._unseen)

    def forget(self) -> None:
        """Takes the gradients off the weights."""
        self._optimizer.zero_grad(set_to_none=True)

    def step(self) -> tuple[Tensor, Tensor]:
        """Changes the weights by their gradients; returns the norm of those, and their scale (0 for none).

        Scaled gradients that are not finite leave the weights as they are, and halve the scale.
        """
        scale = self.scaler.scale(self._unit)
        self.scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.scaler.step(self._optimizer)
        self.scaler.update()
        return norm, scale

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Returns what a fit goes on with: the optimizer's tensors by name, and the state of the scale."""
        states = self._optimizer.state_dict()["state"]
        tensors = {f"{number}.{name}": value for number, state in states.items() for name, value in state.items()}
        return tensors, self.scaler.state_dict()

    def restore(self, tensors: Mapping[str, Tensor], scaler: Mapping[str, Any]) -> None:
        """Goes back to a state, whose tensors may be on another device."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            number, key = name.split(".", 1)
            like = self.parameters[int(number)] if value.dim() else value  # its memory format: fused Adam needs it
            state.setdefault(int(number), {})[key] = torch.empty_like(like).copy_(value)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.scaler.load_state_dict(dict(scaler))


class PassLosses:
    """The losses of a pass, whose steps are looked at `unseen` at a time.

    Attributes:
        total: the sum of the losses of all frames, as far as they were looked at.
    """

    def __init__(self, number: int, unseen: int) -> None:
        self.total = 0.0
        self._number, self._unseen = number, unseen
        self._steps: list[tuple[int, Tensor]] = []  # frames, and on the device loss, norm and scale
        self._seen = 0  # steps

    def add(self, frames: int, loss: Tensor, norm: Tensor, scale: Tensor) -> None:
        """Adds a step: its frames, their mean loss, and what `Steps.step` returned.

        Raises:
            DivergenceError: as `look`.
        """
        self._steps.append((frames, torch.stack((loss, norm, scale))))
        if len(self._steps) >= self._unseen:
            self.look()

    def look(self) -> None:
        """Waits for the steps that were not looked at.

        Raises:
            DivergenceError: a loss or gradient is not finite; it names the first.
        """
        steps, self._steps = self._steps, []
        values = torch.stack([one for _, one in steps]).tolist() if steps else []
        for (frames, _), (loss, norm, scale) in zip(steps, values, strict=True):
            self._seen += 1
            if not math.isfinite(loss):
                raise DivergenceError(f"the loss is not finite in pass {self._number}, batch {self._seen}")
            if not math.isfinite(norm) and scale <= SMALLEST_SCALE:
                raise DivergenceError(f"the gradient is not finite in pass {self._number}, batch {self._seen}")
            self.total += loss * frames
