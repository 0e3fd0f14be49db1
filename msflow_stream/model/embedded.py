"""The embedded backbone: a small convolutional network whose weights come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, fx, nn
from torch.nn import functional as F

from msflow_stream.types import UserError

NAME = "embedded"
STAGES = (1, 2, 3)  # at strides 4, 8 and 16
STEM = 24
WIDTHS = (32, 80)
LEARNT = (32, 48, 48)  # channels of the learnt features
CELL = 4  # pixels: the side of the cells that pixels are taken together in
PIXELS = CELL**2
CHANNELS = (LEARNT[0] + PIXELS, *LEARNT[1:])  # with those of the pixels; the flows over them cost with their square
DEPTHS = (1, 1)
WINDOW = 12  # pixels: the surroundings that contrast is relative to
FAINT = 0.05  # deviation, in units of the normalised input: what is fainter is not brought up
BRIGHTNESS, COLOUR = 0.6, 2.0  # of the mean: how much of them stays
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # that images are normalised with
BRIGHT, RED_GREEN, YELLOW_BLUE = (1 / 3, 1 / 3, 1 / 3), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0)
GAIN, FINER = 10.0, 1.5  # of the pixels' coefficients, with 1 for white, and by how much it grows with every order
GREY = (GAIN * 0.005) ** 2  # mean square of coefficients of colour: images with much less count as grey
FILE = Path(str(files(__package__).joinpath("embedded.safetensors")))
RECORD = FILE.with_suffix(".json")  # how it came to be, and its hash


class Contrast(nn.Module):
    """The contrast of images (B 3 H W, normalised) to their surroundings, divided by how much stands out there.

    The mean of each colour and the deviation of all are those of overlapping windows of `WINDOW` pixels,
    interpolated bilinearly. An edge in the shade is then as strong as one in the sun. Of the mean a part of the
    brightness stays, and more of the colour.

    All is done on cells of 4 x 4 pixels, each with its pixels as channels, and with convolutions: that keeps a CPU
    busy, where three channels of all pixels make it wait.
    """

    apart: Tensor
    mean: Tensor
    around: Tensor
    kept: Tensor
    alike: Tensor

    def __init__(self) -> None:
        super().__init__()
        spread = _interpolation()  # 16 3 3
        kept = COLOUR * torch.eye(3) + (BRIGHTNESS - COLOUR) / 3  # of a mean, to the three colours from the three
        filters = {
            "apart": torch.eye(3 * PIXELS).view(3 * PIXELS, 3, CELL, CELL),
            "mean": torch.eye(3).repeat_interleave(PIXELS, 1)[:, :, None, None] / PIXELS,  # 3 48 1 1
            "around": torch.einsum("cd,pyx->cpdyx", torch.eye(3), spread).flatten(0, 1),  # 48 3 3 3
            "kept": torch.einsum("cd,pyx->cpdyx", kept, spread).flatten(0, 1),  # 48 3 3 3
            "alike": spread[:, None].repeat(3, 1, 1, 1),  # 48 1 3 3
        }
        for name, weights in filters.items():
            self.register_buffer(name, weights, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images (B 3 H W, normalised) with their contrast evened out, B 3 H W."""
        whole = _whole_cells(images)
        pixels = _exact(whole, self.apart, CELL)  # B 48 H/4 W/4
        means = _windows(_exact(pixels, self.mean))
        detail = pixels - _exact(means, self.around)
        strength = (detail * detail).mean(1, keepdim=True)  # a square would be a slow power in OpenVINO
        deviation = _exact(_windows(strength), self.alike).sqrt()
        return _cut(F.pixel_shuffle(detail / (deviation + FAINT) + _exact(means, self.kept), CELL), images)


def _windows(cells: Tensor) -> Tensor:
    """Means over windows of 3 x 3 cells, around every cell, and those at the rim once more beyond it: B C h+2 w+2."""
    means = F.avg_pool2d(cells, WINDOW // CELL, stride=1, padding=1, count_include_pad=False)
    return F.pad(means, (1, 1, 1, 1), mode="replicate")


def _interpolation() -> Tensor:
    """The shares that the pixels of a cell take of its and its neighbours' values in bilinear interpolation: 16 3 3."""
    beyond = (torch.arange(CELL) + 0.5) / CELL - 0.5  # of the cell's centre, in cells
    along = torch.stack([F.relu(-beyond), 1 - beyond.abs(), F.relu(beyond)], 1)  # 4 3
    return torch.einsum("ai,bj->abij", along, along).flatten(0, 1)


@fx.wrap  # a leaf of traced models, which a context would not be part of
def _exact(x: Tensor, weights: Tensor, stride: int = 1) -> Tensor:
    """A convolution in float32, also under autocast: what differs little from its surroundings would be lost."""
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), weights.float(), stride=stride).to(x.dtype)


@fx.wrap  # a leaf of traced models, in which shapes are not known
def _whole_cells(images: Tensor) -> Tensor:
    """Images of any size, with their last rows and columns repeated until they fill cells."""
    height, width = images.shape[2:]
    over = (0, -width % CELL, 0, -height % CELL)
    return F.pad(images, over, mode="replicate") if any(over) else images


@fx.wrap
def _cut(whole: Tensor, images: Tensor) -> Tensor:
    """The part of whole cells that belongs to the images."""
    return whole[:, :, : images.shape[2], : images.shape[3]] if whole.shape != images.shape else whole


class Pixels(nn.Module):
    """The pixels of every cell of 4 x 4 as coefficients of the cosine transform: B 3 H W, normalised, to B 16 H/4 W/4.

    8 coarse ones of the brightness and 4 of each of two differences of colours, the fine ones raised, as they are small
    in images of anything. A grey image has no colours, and a flow would scale up channels that never vary without
    bound: there they carry the 8 fine coefficients of the brightness instead.
    """

    filters: Tensor
    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        orders = sorted(product(range(CELL), repeat=2), key=lambda order: (sum(order), max(order)))
        half, square = PIXELS // 2, list(product(range(2), repeat=2))
        wanted = [(BRIGHT, order) for order in orders[:half]]
        wanted += [(colour, order) for colour in (RED_GREEN, YELLOW_BLUE) for order in square]
        wanted += [(BRIGHT, order) for order in orders[half:]]  # 24 in all
        filters = torch.stack([torch.tensor(mix).view(3, 1, 1) * _wave(*order) for mix, order in wanted])
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        middle = mean - 0.5  # of what the filters see, with white 1 and black 0
        self.register_buffer("filters", filters * std, persistent=False)  # 24 3 4 4
        self.register_buffer("offsets", (filters * middle).sum((1, 2, 3))[:, None, None], persistent=False)  # 24 1 1

    def forward(self, images: Tensor) -> Tensor:
        """Returns the coefficients of images (B 3 H W, normalised), B 16 H/4 W/4."""
        bright, colours, fine = (_exact(_whole_cells(images), self.filters, CELL) + self.offsets).chunk(3, 1)
        colourful = (colours * colours).mean((1, 2, 3), keepdim=True)  # B 1 1 1
        return torch.cat((bright, colours + fine * (GREY / (GREY + colourful))), 1)


def _wave(down: int, across: int) -> Tensor:
    """The filter of one coefficient, 4 x 4: the mean for (0, 0), and the finer the more raised."""
    steps = (torch.arange(CELL) + 0.5) * torch.pi / CELL
    height = GAIN * (1 + FINER * (down + across)) / PIXELS * 2 ** (((down > 0) + (across > 0)) / 2)
    return height * torch.outer(torch.cos(down * steps), torch.cos(across * steps))


def convolution(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution and batch normalisation, which become one convolution where speed counts."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(channels_out)]


class Residual(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels, channels), nn.ReLU(inplace=True), *convolution(channels, channels)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns B C H W for B C H W."""
        out: Tensor = self.relu(x + self.body(x))
        return out


class EmbeddedBackbone(nn.Module):
    """The network from images (B 3 H W, normalised) to features of `stages` (B C_l H_l W_l), finest first.

    Images are normalised with ImageNet's mean and deviation.

    Stages 1 and 2 are two stages of one network, the first with the pixels themselves beside what is learnt; stage 3 is
    its second stage on the image at half the size: what is learnt of one size serves the other. Plain 3x3
    convolutions: few and wide ones keep a CPU busy, where depthwise ones wait for memory. The learnt features are a
    linear projection of their stage, normalised over the data that the network was trained on: no ReLU cuts off half of
    each channel's distribution, which a flow would have to unfold.
    """

    def __init__(self, stages: Sequence[int] = STAGES) -> None:
        super().__init__()
        self.wanted = list(stages)
        depth = min(max(stages), len(WIDTHS))
        self.stem = nn.Sequential(*convolution(3, STEM, stride=2), nn.ReLU(inplace=True))  # B 24 H/2 W/2
        self.stages, self.projections = nn.ModuleList(), nn.ModuleList()
        before = STEM
        for width, channels, blocks in zip(WIDTHS[:depth], LEARNT, DEPTHS, strict=False):
            down = [*convolution(before, width, stride=2), nn.ReLU(inplace=True)]
            self.stages.append(nn.Sequential(*down, *(Residual(width) for _ in range(blocks))))
            self.projections.append(nn.Sequential(*convolution(width, channels, kernel=1)))
            before = width
        self.contrast, self.pixels = Contrast(), Pixels()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # keeps the size of signals from layer to layer
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the features of the wanted stages."""
        images = images.contiguous()  # three channels in the last place keep a CPU waiting
        features = []
        fine = [stage for stage in self.wanted if stage <= len(WIDTHS)]
        if fine:
            features = self.learnt(self.contrast(images), fine)
        if 1 in fine:
            features[0] = torch.cat((features[0], self.pixels(images)), 1)
        if len(WIDTHS) + 1 in self.wanted:
            half = F.avg_pool2d(images, 2, ceil_mode=True)
            features += self.learnt(self.contrast(half), [len(WIDTHS)])
        return features

    def learnt(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Returns the learnt features of stages 1 and 2, or either, at one size of the image."""
        x = self.stem(images)
        features = []
        for number in range(1, max(stages) + 1):
            x = self.stages[number - 1](x)
            if number in stages:
                features.append(self.projections[number - 1](x))
        return features


def create(stages: Sequence[int], weights: dict[str, Tensor] | None) -> tuple[EmbeddedBackbone, list[int]]:
    """Returns the backbone, with weights or whatever chance draws, and the channels of its stages.

    Raises:
        UserError: a stage it lacks, or weights that are not its own.
    """
    missing = [stage for stage in stages if stage not in STAGES]
    if missing:
        raise UserError(f"{NAME} has no stage {missing[0]}: it has {list(STAGES)}")
    model = EmbeddedBackbone(stages)
    if weights is not None:
        model.load_state_dict({key: _checked(key, value, weights) for key, value in model.state_dict().items()})
    return model, [CHANNELS[stage - 1] for stage in stages]


def packaged_weights() -> dict[str, Tensor]:
    """Returns the weights that come with the package, as float32.

    Raises:
        UserError: a package without them.
    """
    if not FILE.is_file():
        raise UserError(f"no weights of {NAME} at {FILE}: install the package again, or set model.weights=random")
    return load_file(FILE)


def _checked(key: str, expected: Tensor, weights: dict[str, Tensor]) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return expected
    if key not in weights or weights[key].shape != expected.shape:
        found = f"shape {tuple(weights[key].shape)}" if key in weights else "nothing"
        raise UserError(f"the weights are not those of {NAME}: {key} should be {tuple(expected.shape)}, found {found}")
    return weights[key].float()
