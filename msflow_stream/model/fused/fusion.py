"""The fusion flow for inference: one convolution for s and t of a scale, permutations and factors folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.model.fused.centred_norm import CentredNorm, centred
from msflow_stream.model.fusion import ATAN_GAIN, FusionFlow, FusionNetwork
from msflow_stream.model.tensors import as_images, as_pixels

Size = tuple[int, int]


class FusedFusion(nn.Module):
    """The same function as `flow`, from stored values to stored values, without the log-determinant.

    Args:
        flow: stays as it is.
        sizes: (H_l, W_l) of every scale.
        places: column of every logical channel of the input, per scale.
        scales: factor of every column of the input, per scale; those of the output are in `scales`, by its columns,
            which stand in their logical order.
    """

    def __init__(
        self, flow: FusionFlow, sizes: Sequence[Size], places: Sequence[Tensor], scales: Sequence[Tensor]
    ) -> None:
        super().__init__()
        columns = [place[flow.permutation(scale).cpu()] for scale, place in enumerate(places)]
        self.scales = [one[column] for one, column in zip(scales, columns, strict=True)]
        first, second = zip(*(one.chunk(2) for one in self.scales), strict=True)
        for scale, column in enumerate(columns):
            for half, part in enumerate(column.chunk(2)):
                self.register_buffer(f"columns{half}_{scale}", part.clone(), persistent=False)
        self.of_first = _FusedNetwork(flow.subnet_2, sizes, second, first, flow.clamp)
        self.of_second = _FusedNetwork(flow.subnet_1, sizes, first, second, flow.clamp)

    def columns(self, scale: int) -> Tensor:
        """The columns of the input that the columns of the output come from."""
        return torch.cat([self.get_buffer(f"columns{half}_{scale}") for half in (0, 1)])

    def forward(self, stored: Sequence[Tensor]) -> list[Tensor]:
        """Stored values ((B H_l W_l) C_l) of every scale, before and after the clamp on z."""
        first, second = (
            [one.index_select(1, self.get_buffer(f"columns{half}_{scale}")) for scale, one in enumerate(stored)]
            for half in (0, 1)
        )
        first = self.of_first(second, first)
        second = self.of_second(first, second)
        return [torch.cat(pair, 1) for pair in zip(first, second, strict=True)]


class _FusedNetwork(nn.Module):
    """Couples one half of every scale to the other: `v' = e(s) v + t`.

    Args:
        network: of the fusion flow.
        sizes: (H_l, W_l) of every scale.
        scales: what the stored values of its inputs have to be multiplied with.
        targets: the same of the half that is changed.
        clamp: of the coupling.
    """

    def __init__(
        self,
        network: FusionNetwork,
        sizes: Sequence[Size],
        scales: Sequence[Tensor],
        targets: Sequence[Tensor],
        clamp: float,
    ) -> None:
        super().__init__()
        self.sizes, self.channels, self.gain = list(sizes), network.channels, clamp * ATAN_GAIN
        self.smallest = min(sizes, key=lambda size: size[0] * size[1])
        every = torch.cat(list(scales))
        squeeze = _convolution(network.squeeze, columns=every)
        self.squeeze = make_convolution(centred(squeeze.weight.double()), centred(_bias(squeeze)))
        self.norm = CentredNorm(network.norm)
        self.expand = _convolution(network.expand, rows=1 / every)
        pairs: Iterable[tuple[Any, Any, Tensor, Tensor]] = zip(
            network.conv_s, network.conv_t, scales, targets, strict=True
        )
        self.couple = nn.ModuleList(
            _stacked(_convolution(s, one, torch.full_like(target, 1 / clamp)), _convolution(t, one, 1 / target))
            for s, t, one, target in pairs
        )

    def forward(self, inputs: Sequence[Tensor], halves: Sequence[Tensor]) -> list[Tensor]:
        """Couples `halves` with `inputs`: (B H_l W_l) C_l/2 each."""
        images = [as_images(one, size) for one, size in zip(inputs, self.sizes, strict=True)]
        pooled = torch.cat([self._pooled(one, size) for one, size in zip(images, self.sizes, strict=True)], 1)
        squeezed = F.relu(self.norm(self.squeeze(pooled)))  # B sum(C)/8 h w
        crossed = F.relu(self.expand(squeezed))
        outputs = []
        for scale, part in enumerate(torch.split(crossed, self.channels, 1)):
            s, t = as_pixels(self.couple[scale](images[scale] + self._upsampled(part, self.sizes[scale]))).chunk(2, 1)
            outputs.append(torch.addcmul(t, halves[scale], torch.atan(s).mul_(self.gain).exp_()))
        return outputs

    def _pooled(self, images: Tensor, size: Size) -> Tensor:
        return images if size == self.smallest else F.adaptive_avg_pool2d(images, self.smallest)

    def _upsampled(self, part: Tensor, size: Size) -> Tensor:
        return part if size == self.smallest else F.interpolate(part, size=size, mode="bilinear", align_corners=True)


def _convolution(convolution: nn.Conv2d, columns: Tensor | None = None, rows: Tensor | None = None) -> nn.Conv2d:
    """A copy of a convolution with factors on its inputs and outputs."""
    weight, bias = convolution.weight.detach().double(), _bias(convolution)
    device = weight.device
    if columns is not None:
        weight = weight * columns.to(device)[:, None, None]
    if rows is not None:
        weight, bias = weight * rows.to(device)[:, None, None, None], bias * rows.to(device)
    return make_convolution(weight, bias)


def _stacked(first: nn.Conv2d, second: nn.Conv2d) -> nn.Conv2d:
    return make_convolution(torch.cat([first.weight, second.weight]), torch.cat([_bias(first), _bias(second)]))


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias.detach().double()


def make_convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """Returns a 3x3 convolution with zero padding of these float32 weights, channels-last."""
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight.float().contiguous(memory_format=torch.channels_last), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.float(), requires_grad=False)
    return made
