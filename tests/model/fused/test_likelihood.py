"""The likelihood for the fit: the plain flow's, and its gradients, for any size and number of frames."""

from __future__ import annotations

import pytest
import torch

from msflow_stream.model.fused.likelihood import FusedLikelihood
from msflow_stream.model.msflow import MSFlow, negative_log_likelihood

CHANNELS, BLOCKS = (6, 8, 10), (1, 3, 2)


def moved(flow: MSFlow, seed: int = 1) -> MSFlow:
    """Weights as after a fit: none is 0, so that every one of them counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in flow.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return flow


@pytest.mark.parametrize("condition_channels", [0, 8])
@pytest.mark.parametrize("fusion", [True, False])
@pytest.mark.parametrize("sizes", [((16, 24), (8, 12), (4, 6)), ((5, 7), (3, 2), (2, 1))])
def test_loss_and_gradients_are_those_of_the_plain_flow(
    condition_channels: int, fusion: bool, sizes: tuple[tuple[int, int], ...]
) -> None:
    flow = moved(MSFlow(CHANNELS, BLOCKS, condition_channels, fusion=fusion)).double()
    generator = torch.Generator().manual_seed(2)
    features = [
        torch.randn(3, channels, *size, dtype=torch.float64, generator=generator)
        for channels, size in zip(CHANNELS, sizes, strict=True)
    ]
    parameters = {name: value for name, value in flow.named_parameters() if value.requires_grad}
    fused = FusedLikelihood(flow, sizes)
    expected = negative_log_likelihood(*flow(features))
    found = fused.nll(features, [weight for make in fused.weights() for weight in make()])
    torch.testing.assert_close(found, expected)
    each = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    gradients = zip(
        parameters,
        torch.autograd.grad((found * each).sum(), list(parameters.values())),
        torch.autograd.grad((expected * each).sum(), list(parameters.values())),
        strict=True,
    )
    for name, one, other in gradients:
        torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}")
