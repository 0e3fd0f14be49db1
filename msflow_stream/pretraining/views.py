"""Views of scenes: the place that a camera looks from, and all that happens to an image on its way, in batches."""

from __future__ import annotations

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8  # pixels, of the coding of images


class View(NamedTuple):
    """Views of a batch of scenes.

    Attributes:
        seen: B 3 n n, what a camera delivers, within 0 and 1.
        again: B 3 n n, the same view, delivered another time: other noise, other light.
        clean: B 3 n n, without blur, coding, noise and what was in the way.
        where: B 3 3, from a view's coordinates (-1 to 1) to the scene's.
    """

    seen: Tensor
    again: Tensor
    clean: Tensor
    where: Tensor


def draw_view(scenes: Tensor, side: int, rng: torch.Generator) -> View:
    """Draws views of scenes (B 3 S S, within 0 and 1), side x side each, on the CPU."""
    where = _places(len(scenes), side / scenes.shape[-1], rng)
    ahead = centres(side, side).reshape(1, -1, 2)  # 1 n*n 2
    grid = project(where, ahead.expand(len(scenes), -1, -1)).reshape(-1, side, side, 2)
    crop = F.grid_sample(scenes, grid, padding_mode="reflection", align_corners=False)
    clean = _coloured(crop, rng).clamp(0, 1)
    light = torch.exp(0.1 * torch.randn(len(scenes), 1, 1, 1, generator=rng))
    return View(_delivered(clean, rng), _delivered(clean * light, rng), clean, where)


def _delivered(clean: Tensor, rng: torch.Generator) -> Tensor:
    """An image after its way from the scene to the one who looks at it."""
    return _covered(_noisy(_coded(_blurred(clean, rng), rng), rng), rng).clamp(0, 1)


def centres(height: int, width: int) -> Tensor:
    """Returns x and y of the centres of height x width cells that fill an image, -1 to 1: height width 2."""
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in (height, width))
    return torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)


def project(where: Tensor, points: Tensor) -> Tensor:
    """Returns points (B n 2) mapped by the homographies `where` (B 3 3)."""
    ones = torch.ones_like(points[..., :1])
    mapped = torch.cat((points, ones), -1) @ where.mT
    return mapped[..., :2] / mapped[..., 2:]


def _places(count: int, share: float, rng: torch.Generator) -> Tensor:
    """Homographies B 3 3: a part of the scene, turned, stretched, mirrored, slightly from aside."""
    zoom = share * torch.exp(_between(count, -0.55, 0.35, rng))
    stretch = torch.exp(0.12 * torch.randn(count, generator=rng))
    angle = 0.35 * torch.randn(count, generator=rng) + pi / 2 * torch.randint(4, (count,), generator=rng).float()
    cos, sin = torch.cos(angle), torch.sin(angle)
    mirror = torch.randint(2, (count,), generator=rng).float() * 2 - 1
    where = torch.zeros(count, 3, 3)
    where[:, 0, 0], where[:, 0, 1] = zoom * stretch * cos * mirror, -zoom * stretch * sin
    where[:, 1, 0], where[:, 1, 1] = zoom / stretch * sin * mirror, zoom / stretch * cos
    where[:, :2, 2] = (torch.rand(count, 2, generator=rng) * 2 - 1) * (1 - zoom).clamp(min=0)[:, None]
    where[:, 2, :2] = 0.08 * torch.randn(count, 2, generator=rng)
    where[:, 2, 2] = 1
    return where


def _coloured(x: Tensor, rng: torch.Generator) -> Tensor:
    """Other light, white balance and contrast; three in ten views without colour."""
    count = len(x)
    gain = torch.exp(
        0.1 * torch.randn(count, 3, 1, 1, generator=rng) + 0.2 * torch.randn(count, 1, 1, 1, generator=rng)
    )
    contrast, shift = torch.exp(0.25 * torch.randn(2, count, 1, 1, 1, generator=rng)) - torch.tensor([0.0, 1.0]).view(
        2, 1, 1, 1, 1
    )
    x = (x * gain - 0.5) * contrast + 0.5 + 0.3 * shift
    grey = (torch.rand(count, 1, 1, 1, generator=rng) < 0.3).float()
    return torch.lerp(x, x.mean(1, keepdim=True).expand_as(x), grey)


def _blurred(x: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the views out of focus, by a deviation of up to 1.6 pixels."""
    count, reach = len(x), 4
    sigma = torch.where(torch.rand(count, generator=rng) < 0.5, _between(count, 0.3, 1.6, rng), torch.tensor(0.05))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)  # B*3 K
    flat = x.reshape(1, -1, *x.shape[2:])
    flat = F.pad(flat, (reach,) * 4, mode="reflect")
    flat = F.conv2d(flat, taps[:, None, None], groups=len(taps))
    return F.conv2d(flat, taps[:, None, :, None], groups=len(taps)).view_as(x)


def _coded(x: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the views coarsely coded, as video is: cosine coefficients of 8 x 8 blocks, rounded."""
    count, _, height, width = x.shape
    step = torch.where(torch.rand(count, generator=rng) < 0.5, _between(count, 0.01, 0.08, rng), torch.tensor(1e-3))
    k = torch.arange(BLOCK)
    basis = torch.cos(pi / BLOCK * (k[None] + 0.5) * k[:, None]) * (2 / BLOCK) ** 0.5
    basis[0] /= 2**0.5
    steps = step[:, None, None, None, None, None] * (1 + 0.5 * (k[:, None] + k[None]))
    blocks = x.reshape(count, 3, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)  # B 3 h w 8 8
    rounded: Tensor = torch.round(basis @ blocks @ basis.T / steps) * steps
    return torch.reshape((basis.T @ rounded @ basis).transpose(3, 4), x.shape)


def _noisy(x: Tensor, rng: torch.Generator) -> Tensor:
    """Seven in ten views with noise of their own strength, of the sensor and of each colour."""
    count = len(x)
    strength = _between(count, 0.003, 0.07, rng) * (torch.rand(count, generator=rng) < 0.7)
    return x + strength[:, None, None, None] * torch.randn(x.shape, generator=rng)


def _covered(x: Tensor, rng: torch.Generator, patches: int = 3) -> Tensor:
    """Up to three rectangles of one colour in the way, in half of the views."""
    count, _, height, width = x.shape
    y, x_axis = centres(height, width)[:, :1, 1], centres(height, width)[0, :, 0]
    for _ in range(patches):
        middle = torch.rand(count, 2, 1, 1, generator=rng) * 2 - 1
        half = _between(2 * count, 0.05, 0.25, rng).view(count, 2, 1, 1)
        colour = torch.rand(count, 3, 1, 1, generator=rng)
        there = (torch.rand(count, 1, 1, 1, generator=rng) < 0.25) & (
            ((x_axis - middle[:, :1]).abs() < half[:, :1]) & ((y - middle[:, 1:]).abs() < half[:, 1:])
        )
        x = torch.where(there, colour, x)
    return x


def _between(count: int, low: float, high: float, rng: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=rng)
