"""The loss: heads read from the features of every place what made it, and how it looks without noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msflow_stream.pretraining.views import View, centres, project

DIRECTIONS = 6
SCALES = (1, 3)  # width of the mean before the gradient, in pixels
EDGES = len(SCALES) * (DIRECTIONS + 1)  # numbers per place
FAINT = 0.02  # gradient, of a range of 1: below it directions do not count
PLACES = 36  # of every image and stage
HIDDEN = 192
PATCH = 4  # a place's clean look: PATCH x PATCH pixels of the image at a quarter of the stage's stride
WINDOW = 5  # what lies around a place: the means of WINDOW x WINDOW places, itself in the middle
UNKNOWN = -100  # a place beyond the scene
CLASSES = ("texture", "shape")


def edges(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns targets for h x w places of images (B 3 H W, within 0 and 1): B EDGES h w, all of the order of 1.

    Per scale: the strength, as a logarithm, and the shares of the directions, in a window twice as wide as a place.
    """
    grey = images.mean(1, keepdim=True)
    stride = images.shape[2] // size[0]
    turns = torch.arange(DIRECTIONS, device=images.device) * pi / DIRECTIONS
    found = []
    for width in SCALES:
        x = F.avg_pool2d(F.pad(grey, (width // 2 + 1,) * 4, mode="reflect"), width, 1)
        across, down = (x[:, :, 1:-1, 2:] - x[:, :, 1:-1, :-2]) / 2, (x[:, :, 2:, 1:-1] - x[:, :, :-2, 1:-1]) / 2
        along = torch.cos(turns).view(1, -1, 1, 1) * across + torch.sin(turns).view(1, -1, 1, 1) * down  # B D H W
        energy = _windows(along.square(), stride)
        total = energy.sum(1, keepdim=True)
        shares = energy / (total + DIRECTIONS * FAINT**2 / 2) * DIRECTIONS - 1
        found += [torch.log(total / FAINT**2 + 0.1) / 2, shares]
    return torch.cat(found, 1)


def _windows(x: Tensor, stride: int) -> Tensor:
    """Means over windows of twice the stride, centred on the places: B D h w."""
    half = stride // 2
    return F.avg_pool2d(F.pad(x, (half,) * 4, mode="reflect"), 2 * stride, stride)


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of the parts of the loss; 0 leaves a part out."""

    clean: float = 3.0
    edges: float = 3.0
    around: float = 0.0
    twins: float = 1.0
    texture: float = 0.0
    shape: float = 0.0


class Targets(NamedTuple):
    """Class numbers of the textures and shapes of a batch of scenes, B h w."""

    textures: Tensor
    shapes: Tensor


class Heads(nn.Module):
    """Small networks, one a stage, that read the features of a place: pixels, edges, context, textures, shapes."""

    def __init__(self, channels: tuple[int, ...], textures: int, shapes: int) -> None:
        super().__init__()
        self.sizes = [3 * PATCH**2, EDGES, 3 * WINDOW**2, textures, shapes]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Linear(c, HIDDEN), nn.LayerNorm(HIDDEN), nn.GELU(), nn.Linear(HIDDEN, sum(self.sizes)))
            for c in channels
        )


def loss_of(
    features: list[Tensor], heads: Heads, view: View, truth: Targets, weights: Weights, rng: torch.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Returns the loss, a mean over stages, and its parts by name.

    Args:
        features: those of `view.seen` and then of `view.again`, 2B C_l H_l W_l.
    """
    count = len(view.clean)
    parts: dict[str, Tensor] = {}
    wanted = {name: weight for name, weight in asdict(weights).items() if weight}
    for number, (stage, head) in enumerate(zip(features, heads.stages, strict=True), 1):
        size = stage.shape[2], stage.shape[3]
        place = torch.randint(size[0] * size[1], (count, PLACES), generator=rng).to(stage.device)  # B P
        read = _at(stage, place.repeat(2, 1))  # 2B P C
        said = dict(zip(SAID, torch.split(head(read), heads.sizes, -1), strict=True))
        for name, weight in wanted.items():
            if name == "twins":
                part = twins(*read.chunk(2))
            elif name in CLASSES:
                part = _cross_entropy(said[name], _labels(name, view.where, truth, place, size))
            else:
                part = F.smooth_l1_loss(said[name], _at(TARGETS[name](view.clean, size), place).repeat(2, 1, 1))
            parts[f"{name} {number}"] = weight * part
    total = torch.stack(list(parts.values())).sum() / len(features)
    return total, {name: float(part.detach()) for name, part in parts.items()}


def twins(first: Tensor, second: Tensor) -> Tensor:
    """Returns how far two deliveries of places (B P C each) are from agreeing in every channel, and in it alone.

    A flow makes all directions of its features equally wide, noise as well as content. So each channel should carry
    something that noise does not change, and no two channels the same (the cross-correlation matrix of Barlow Twins).
    """
    x, y = ((z - z.mean((0, 1))) / (z.std((0, 1)) + 1e-3) for z in (first, second))
    matrix = x.flatten(0, 1).mT @ y.flatten(0, 1) / x[..., 0].numel()  # C C
    same = torch.diag(matrix)
    others = matrix.square().sum() - same.square().sum()
    return ((1 - same).square().sum() + 0.1 * others) / len(matrix)


def _labels(name: str, where: Tensor, truth: Targets, places: Tensor, cells: tuple[int, int]) -> Tensor:
    """Classes of texture or shape at the centres of the cells `places` (B P), UNKNOWN beyond the scene."""
    classes = truth.textures if name == "texture" else truth.shapes
    points = project(where, centres(*cells).to(where.device).flatten(0, 1)[places])  # B P 2
    height, width = classes.shape[1:]
    x, y = ((points[..., k] + 1) / 2 * n for k, n in ((0, width), (1, height)))
    beyond = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    at = (y.long().clamp(0, height - 1) * width + x.long().clamp(0, width - 1)).clamp(min=0)
    return classes.flatten(1).gather(1, at).masked_fill(beyond, UNKNOWN)


def _looks(clean: Tensor, size: tuple[int, int]) -> Tensor:
    """The pixels of every place, normalised: B 3*PATCH*PATCH h w."""
    small = F.adaptive_avg_pool2d(clean, (size[0] * PATCH, size[1] * PATCH))
    return F.pixel_unshuffle((small - 0.5) / 0.25, PATCH)


def _context(clean: Tensor, size: tuple[int, int]) -> Tensor:
    """The colours of the places around every place, normalised: B 3*WINDOW**2 h w."""
    colours = (F.adaptive_avg_pool2d(clean, size) - 0.5) / 0.25
    padded = F.pad(colours, (WINDOW // 2,) * 4, mode="reflect")
    return F.unfold(padded, WINDOW).reshape(len(clean), -1, *size)


def _at(targets: Tensor, places: Tensor) -> Tensor:
    """Targets of `places` (B P), taken from those for all places (B N h w): B P N."""
    return targets.flatten(2).mT.gather(1, places[..., None].expand(-1, -1, targets.shape[1]))


def _cross_entropy(said: Tensor, label: Tensor) -> Tensor:
    """The cross-entropy of what is said of two deliveries (2B P N) about classes (B P)."""
    return F.cross_entropy(said.flatten(0, 1), label.repeat(2, 1).flatten(), ignore_index=UNKNOWN)


TARGETS: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {"clean": _looks, "edges": edges, "around": _context}


SAID = (*TARGETS, *CLASSES)  # in the order of `Heads.sizes`
