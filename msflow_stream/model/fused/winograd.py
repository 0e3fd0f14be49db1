"""3x3 convolutions by Winograd's minimal filtering: the same numbers with 2.25 or 4 times fewer products.

An image is cut into tiles of m x m outputs, each with its (m + 2) x (m + 2) inputs. `Y = A^T [(G g G^T) * (B^T d B)] A`
(Lavin and Gray 2016): the products in the middle, summed over channels, are (m + 2)^2 matrix products, and the outer
transforms are matrix products as well. It pays on CPUs, whose libraries convolve float32 directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from msflow_stream.model.tensors import as_images, as_pixels

LEAST_CHANNELS = 96  # with fewer, the transforms cost what the products save
LARGE = 256  # pixels: smaller maps have too few tiles of 4 x 4 to fill a matrix product
MATRICES: dict[int, tuple[list[list[float]], ...]] = {  # B^T, G, A^T of F(2, 3) and F(4, 3)
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
    ),
    4: (
        [
            [4, 0, -5, 0, 1, 0],
            [0, -4, -4, 1, 1, 0],
            [0, 4, -4, -1, 1, 0],
            [0, -2, -1, 2, 1, 0],
            [0, 2, -1, -2, 1, 0],
            [0, 4, 0, -5, 0, 1],
        ],
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    ),
}


class WinogradConvolution(nn.Module):
    """The same function as a 3x3 convolution of stride 1 and padding 1 on images of one size, channels-last.

    Args:
        convolution: stays as it is.
        size: (H, W) of its images.
        tile: m, 2 or 4: outputs per tile and side.
    """

    weight: Tensor
    inward: Tensor
    outward: Tensor
    inputs: Tensor
    outputs: Tensor

    def __init__(self, convolution: nn.Conv2d, size: tuple[int, int], tile: int) -> None:
        super().__init__()
        if not _fits(convolution):
            raise ValueError(f"not a 3x3 convolution of stride 1 and padding 1: {convolution}")
        self.size, self.tile, self.reflects = size, tile, convolution.padding_mode == "reflect"
        self.tiles = -(-size[0] // tile) * -(-size[1] // tile)
        inward, kernels, outward = (torch.tensor(matrix, dtype=torch.float64) for matrix in MATRICES[tile])
        weight = kernels @ convolution.weight.detach().cpu().double() @ kernels.T  # C' C m+2 m+2
        inputs = _inputs(size, tile, self.reflects)
        values = {
            "weight": weight.permute(2, 3, 1, 0).flatten(0, 1).to(convolution.weight),  # (m+2)^2 C C'
            "inward": torch.kron(inward, inward).to(convolution.weight),  # (m+2)^2 (m+2)^2
            "outward": torch.kron(outward, outward).to(convolution.weight),  # m^2 (m+2)^2
            "inputs": inputs.to(convolution.weight.device),  # (m+2)^2 T
            "outputs": _outputs(size, tile).to(convolution.weight.device),  # 2 (H W)
        }
        for name, value in values.items():
            self.register_buffer(name, value.contiguous(), persistent=False)
        self.bias = convolution.bias

    def forward(self, images: Tensor) -> Tensor:
        """Returns B C' H W for B C H W."""
        batch, channels = images.shape[0], images.shape[1]
        image = torch.arange(batch, device=images.device)
        gathered = self._pixels(images).index_select(0, self._rows(image, batch).flatten())  # ((m+2)^2 B T) C
        transformed = self.inward @ gathered.view(len(self.inward), -1)
        products = torch.bmm(transformed.view(len(self.inward), -1, channels), self.weight)  # (m+2)^2 (B T) C'
        if self.bias is not None:  # every output is 1 times this product: the second column of A^T holds ones
            products[self.tile + 3] += self.bias
        outputs = (self.outward @ products.flatten(1)).view(-1, products.shape[2])  # (m^2 B T) C'
        place, tile = self.outputs  # of every pixel: where in its tile, and which
        order = (place * batch + image[:, None]) * self.tiles + tile  # B (H W)
        return as_images(outputs.index_select(0, order.flatten()), self.size)

    def _pixels(self, images: Tensor) -> Tensor:
        """The values that tiles are gathered from: with a row of zeros at the end where what lies outside is 0."""
        pixels = as_pixels(images)
        return pixels if self.reflects else torch.cat([pixels, pixels.new_zeros(1, pixels.shape[1])])

    def _rows(self, image: Tensor, batch: int) -> Tensor:
        """The row of `_pixels` for every place in a tile and every tile: (m+2)^2 B T."""
        pixels = self.size[0] * self.size[1]
        rows = self.inputs[:, None] + image[:, None] * pixels
        return rows if self.reflects else torch.where(self.inputs[:, None] < 0, pixels * batch, rows)


def use_winograd(model: nn.Module, inputs: Sequence[Tensor]) -> int:
    """Replaces, in place, the convolutions of `model` for which it pays and that meet one size only; returns how many.

    From then on the model takes inputs (B C H W each) of the size of these only, and any number of them at once.
    """
    sizes: dict[str, set[tuple[int, int]]] = {}

    def note(name: str, images: Tensor) -> None:
        sizes.setdefault(name, set()).add((images.shape[2], images.shape[3]))

    found = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and _fits(m) and _pays(m)}
    hooks = [m.register_forward_pre_hook(lambda _, given, n=n: note(n, given[0])) for n, m in found.items()]
    with torch.no_grad():
        model(*(one[:1] for one in inputs))
    for hook in hooks:
        hook.remove()
    once = {name: met.pop() for name, met in sizes.items() if len(met) == 1}
    for name, (h, w) in once.items():
        model.set_submodule(name, WinogradConvolution(found[name], (h, w), 4 if h * w >= LARGE else 2))
    return len(once)


def _fits(convolution: nn.Conv2d) -> bool:
    settings: tuple[Any, ...] = (convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation)
    plain = convolution.groups == 1 and convolution.padding_mode in ("zeros", "reflect")
    return plain and settings == ((3, 3), (1, 1), (1, 1), (1, 1))


def _pays(convolution: nn.Conv2d) -> bool:
    return min(convolution.in_channels, convolution.out_channels) >= LEAST_CHANNELS


def _inputs(size: tuple[int, int], tile: int, reflects: bool) -> Tensor:
    """The pixel that every place of every tile reads, (m+2)^2 T; -1 for what lies outside and is 0."""
    indices = []
    for length in size:
        at = torch.arange(0, length, tile) + torch.arange(-1, tile + 1)[:, None]  # m+2 tiles
        inside = (at >= 0) & (at < length)
        mirrored = (length - 1 - (length - 1 - at.abs()).abs()).clamp(0)
        indices.append(mirrored if reflects else torch.where(inside, at, -1))
    y, x = indices[0][:, None, :, None], indices[1][None, :, None, :]
    return torch.where((y < 0) | (x < 0), -1, y * size[1] + x).flatten(2).flatten(0, 1)


def _outputs(size: tuple[int, int], tile: int) -> Tensor:
    """The place of every pixel in its tile, and its tile, 2 (H W)."""
    y, x = torch.arange(size[0])[:, None], torch.arange(size[1])
    place, which = (y % tile) * tile + x % tile, (y // tile) * -(-size[1] // tile) + x // tile
    return torch.stack([place.flatten(), which.flatten()])
