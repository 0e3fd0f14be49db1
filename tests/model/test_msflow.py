"""MSFlow as an invertible map: inverse, log-determinant, seeds, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from msflow_stream.model.flows import make_plain, parallel_flow
from msflow_stream.model.fusion import FusionFlow
from msflow_stream.model.msflow import MSFlow, negative_log_likelihood

even = st.integers(1, 4).map(lambda half: 2 * half)
sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))


def features(channels: list[int], shapes: list[tuple[int, int]], batch: int = 2, seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, c, *shape, generator=rng, dtype=torch.float64)
        for c, shape in zip(channels, shapes, strict=True)
    ]


def jacobian_logdet(function: object, inputs: list[Tensor]) -> Tensor:
    """log |det J| of a map between lists of tensors, for a batch of one, by autograd."""
    flat = torch.cat([x.flatten() for x in inputs])

    def flattened(values: Tensor) -> Tensor:
        parts = torch.split(values, [x.numel() for x in inputs])
        outputs = function([part.view(x.shape) for part, x in zip(parts, inputs, strict=True)])  # type: ignore[operator]
        return torch.cat([y.flatten() for y in outputs])

    return torch.linalg.slogdet(torch.autograd.functional.jacobian(flattened, flat)).logabsdet


@settings(deadline=None, max_examples=15)
@given(channels=st.lists(even, min_size=1, max_size=3), data=st.data(), fusion=st.booleans())
def test_the_inverse_undoes_the_flow(channels: list[int], data: st.DataObject, fusion: bool) -> None:
    shapes = [data.draw(sizes) for _ in channels]
    flow = MSFlow(channels, [2] * len(channels), condition_channels=8, fusion=fusion).double().eval()
    x = features(channels, shapes)
    with torch.inference_mode():
        back = flow.inverse(flow(x)[0])
    assert max(float((a - b).abs().max()) for a, b in zip(back, x, strict=True)) < 1e-4


@settings(deadline=None, max_examples=10)
@given(channels=st.integers(2, 5), size=st.tuples(st.integers(1, 3), st.integers(1, 3)), conditioned=st.booleans())
def test_the_logdet_of_a_parallel_flow_is_that_of_its_jacobian(
    channels: int, size: tuple[int, int], conditioned: bool
) -> None:
    flow = parallel_flow(channels, 3, 4 if conditioned else 0, 1.9, "layer", np.random.default_rng(1)).double()
    (x,) = features([channels], [size], batch=1)
    condition = [torch.randn(1, 4, *size, dtype=torch.float64)] if conditioned else []
    for given_, reverse in ((x, False), (flow(x, condition)[0].detach(), True)):
        logdet = flow(given_, condition, rev=reverse)[1]
        expected = jacobian_logdet(lambda inputs, rev=reverse: [flow(inputs[0], condition, rev=rev)[0]], [given_])
        assert torch.allclose(logdet, expected, atol=1e-8)


@settings(deadline=None, max_examples=10)
@given(channels=st.lists(even, min_size=2, max_size=3), data=st.data())
def test_the_logdet_of_the_fusion_flow_is_that_of_its_jacobian(channels: list[int], data: st.DataObject) -> None:
    shapes = [data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in channels]
    torch.manual_seed(0)
    flow = FusionFlow([max(c, 4) for c in channels], 1.9, np.random.default_rng(0)).double()
    x = features([max(c, 4) for c in channels], shapes, batch=1)
    z, logdet = flow(x)
    assert torch.allclose(logdet, jacobian_logdet(lambda inputs: flow(inputs)[0], x), atol=1e-8)
    back = flow.inverse([one.detach() for one in z])[1]
    assert torch.allclose(
        back, jacobian_logdet(lambda inputs: flow.inverse(inputs)[0], [o.detach() for o in z]), atol=1e-8
    )


def test_a_likelihood_follows_from_the_change_of_variables() -> None:
    channels, shapes = [4, 4], [(2, 3), (1, 2)]
    flow = MSFlow(channels, [1, 2], condition_channels=4).double().eval()
    x = features(channels, shapes, batch=1)
    z, logdet = flow(x)
    expected = 0.5 * sum((one**2).sum() for one in z) - jacobian_logdet(lambda inputs: flow(inputs)[0], x)
    assert torch.allclose(negative_log_likelihood(z, logdet), expected)


def test_permutations_depend_on_the_seed_alone() -> None:
    np.random.seed(1)  # noqa: NPY002  the global state that must not matter
    torch.manual_seed(1)
    first = MSFlow([8, 8], [1, 1], seed=5).state_dict()
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    again, other = MSFlow([8, 8], [1, 1], seed=5).state_dict(), MSFlow([8, 8], [1, 1], seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(
        first["parallel_flows.0.module_list.0.w_perm"], other["parallel_flows.0.module_list.0.w_perm"]
    )


def test_making_a_flow_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    MSFlow([4, 4], [1, 1])
    assert torch.equal(torch.rand(1), expected)


def test_an_odd_number_of_channels_is_refused_with_the_fusion_flow() -> None:
    with pytest.raises(ValueError, match="even number of channels"):
        MSFlow([4, 5], [1, 1])
    MSFlow([4, 5], [1, 1], fusion=False)


@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_every_norm_gives_an_invertible_flow(norm: str) -> None:
    flow = MSFlow([6, 6], [1, 2], condition_channels=4, norm=norm).double().eval()  # type: ignore[arg-type]
    x = features([6, 6], [(3, 4), (2, 2)])
    with torch.inference_mode():
        back = flow.inverse(flow(x)[0])
    assert max(float((a - b).abs().max()) for a, b in zip(back, x, strict=True)) < 1e-8


@settings(deadline=None, max_examples=15)
@given(channels=st.lists(even, min_size=1, max_size=3), batch=st.integers(1, 4), condition=st.sampled_from([0, 4, 8]))
def test_the_shortcuts_in_the_blocks_change_nothing(channels: list[int], batch: int, condition: int) -> None:
    short = MSFlow(channels, [2] * len(channels), condition, seed=1).double().train()
    plain = make_plain(MSFlow(channels, [2] * len(channels), condition, seed=1).double().train())
    x = features(channels, [(4, 3)] * len(channels), batch)
    gradients = []
    for flow in (short, plain):
        z, logdet = flow(x)
        negative_log_likelihood(z, logdet).mean().backward()
        gradients.append({name: p.grad for name, p in flow.named_parameters() if p.grad is not None})
    for found, expected in zip(short(x)[0], plain(x)[0], strict=True):
        assert torch.allclose(found, expected, atol=1e-12)
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-10) for name in gradients[0])


def test_autocast_keeps_the_digits_of_the_log_determinant() -> None:
    channels, shapes = [8, 8], [(16, 16), (8, 8)]
    flow = MSFlow(channels, [2, 2], 8).eval()
    x = [one.float() for one in features(channels, shapes)]
    with torch.inference_mode():
        exact, exact_logdet = flow(x)
        with torch.autocast("cpu", torch.bfloat16):
            z, logdet = flow(x)
    assert all(one.dtype == torch.float32 for one in (*z, logdet))
    assert not torch.equal(z[0], exact[0])  # bfloat16 was at work
    values = sum(one[0].numel() for one in x)
    assert torch.allclose(logdet / values, exact_logdet / values, atol=1e-3)
    for found, expected in zip(z, exact, strict=True):
        assert (found - expected).abs().max() < 4 * 2**-8 * expected.abs().max()  # a few units of bfloat16


def test_the_couplings_of_the_fusion_flow_add_no_error_of_bfloat16_to_that_of_its_convolutions() -> None:
    flow = FusionFlow([16, 32], 1.9, np.random.default_rng(0))
    generator = torch.Generator().manual_seed(0)
    for weight in flow.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5
    x = [torch.randn(64, 16, 8, 8, generator=generator), torch.randn(64, 32, 4, 4, generator=generator)]

    def error() -> float:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            logdet = flow(x)[1]
        return float((logdet - expected).square().mean().sqrt())

    with torch.inference_mode():
        expected = flow(x)[1]
    found = error()
    for network in (flow.subnet_1, flow.subnet_2):  # as convolutions give them, couplings would compute in bfloat16
        network.register_forward_hook(lambda _, __, given: tuple([one.bfloat16() for one in part] for part in given))
    assert 0 < found < error() / 2
