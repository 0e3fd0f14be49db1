"""Scenes: textures, cut to shapes and laid over one another under one light; with the class of everything in them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.pretraining.pictures.fields import Floats, field
from msflow_stream.pretraining.pictures.shapes import KINDS, outline

TEXTURES = 500  # classes
PIECES = 10  # of each
SHAPES = len(KINDS) + 1  # 0 is what lies behind all shapes
Generator = np.random.Generator
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """An image (uint8 H x W x 3) with labels for every second pixel of every second row (h x w).

    Attributes:
        texture: uint16, the class of the texture.
        shape: uint8, the kind of the shape and 1; 0 for the background.
    """

    image: Bytes
    texture: npt.NDArray[np.uint16]
    shape: Bytes


def swatches(size: int, seed: int, textures: int = TEXTURES, pieces: int = PIECES) -> Bytes:
    """Returns pieces of every texture class, textures x pieces x size x size."""
    made = np.empty((textures, pieces, size, size), np.uint8)
    for number in range(textures):
        for piece in range(pieces):
            made[number, piece] = field(number, np.random.default_rng((seed, number, piece)), size) * 255
    return made


class Composer:
    """A maker of scenes from swatches, as large as those; the same `rng` gives the same scene."""

    def __init__(self, swatches: Bytes) -> None:
        self.swatches = swatches
        self.size = swatches.shape[-1]

    def scene(self, rng: Generator) -> Labelled:
        """Returns a random scene: things lying about, a place with things in it, or a surface with few marks."""
        canvas, texture = self._background(rng)
        shape = np.zeros((self.size, self.size), np.uint8)
        style = rng.random()
        count = int(rng.integers(5, 16)) if style < 0.75 else int(rng.integers(0, 4))
        largest = 0.7 if style < 0.4 else 0.4 if style < 0.75 else 0.2
        for _ in range(count):
            self._lay(rng, canvas, texture, shape, self.size * largest * np.exp(rng.uniform(np.log(0.12), 0)))
        image = np.clip(canvas * _light(rng, self.size), 0, 1) * 255 + 0.5
        return Labelled(image.astype(np.uint8), texture[::2, ::2].copy(), shape[::2, ::2].copy())

    def _background(self, rng: Generator) -> tuple[Floats, npt.NDArray[np.uint16]]:
        """One texture, or two that meet at a line; the lower one may lie flat, as ground seen by a camera."""
        first, cloth = self._cloth(rng, self.size)
        texture = np.full((self.size, self.size), first, np.uint16)
        if rng.random() < 0.5:
            second, other = self._cloth(rng, self.size)
            y, x = np.mgrid[: self.size, : self.size] / self.size
            below = y > rng.uniform(0.1, 0.7) + rng.normal(0, 0.2) * (x - 0.5)
            cloth = np.where(below[:, :, None], _flat(rng, other), cloth)
            texture[below] = second
        return cloth, texture

    def _lay(self, rng: Generator, canvas: Floats, texture: npt.NDArray[np.uint16], shape: Bytes, size: float) -> None:
        """Lays one shape on the scene, with its shadow, perhaps blurred by its motion."""
        side = max(8, int(1.8 * size))
        kind = int(rng.integers(len(KINDS)))
        mask = outline(kind, rng, side, size)
        if rng.random() < 0.15:
            mask = np.asarray(cv2.filter2D(mask, -1, _motion(rng, size)), np.uint8)
        shadow = _shadow(rng, mask, size) if rng.random() < 0.4 else np.zeros((side, side, 1), np.float32)
        number, cloth = self._cloth(rng, side)
        cloth = cloth * _relief(rng, mask, size)
        left, top = rng.integers(-side // 2, self.size - side // 2, 2).tolist()
        there = slice(max(0, top), top + side), slice(max(0, left), left + side)
        seen = canvas[there]  # the part of the patch that is in the image
        own = (
            slice(max(0, -top), max(0, -top) + seen.shape[0]),
            slice(max(0, -left), max(0, -left) + seen.shape[1]),
        )
        share = mask[own].astype(np.float32)[:, :, None] / 255
        seen *= 1 - shadow[own]
        seen += share * (cloth[own] - seen)
        covered = mask[own] > 127
        texture[there][covered], shape[there][covered] = number, kind + 1

    def _cloth(self, rng: Generator, side: int) -> tuple[int, Floats]:
        """A texture class and a side x side piece of it in random colours, turned and scaled."""
        number, piece = int(rng.integers(len(self.swatches))), int(rng.integers(self.swatches.shape[1]))
        middle = self.size / 2
        turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(0, 360), np.exp(rng.normal(0, 0.25)))
        turn[:, 2] += rng.uniform(-0.5, 0.5, 2) * (self.size - side) + (side - self.size) / 2
        grey = cv2.warpAffine(self.swatches[number, piece], turn, (side, side), borderMode=cv2.BORDER_REFLECT)
        return number, painted(rng, np.asarray(grey, np.uint8))


def painted(rng: Generator, grey: Bytes) -> Floats:
    """Returns a grey field in two colours and what lies between, H x W x 3: often nearly grey, rarely loud."""
    tone, saturation, contrast = rng.uniform(0.1, 0.9), rng.beta(1, 4), rng.uniform(0.03, 0.6)
    base = tone * (1 + saturation * (rng.dirichlet((1, 1, 1)) * 3 - 1))
    other = rng.normal(0, 0.15, 3) * saturation + contrast * rng.choice((-1, 1))
    colours = (base + (np.arange(256)[:, None] / 255 - 0.5) * other).clip(0, 1).astype(np.float32)
    return np.asarray(colours[grey], np.float32)


def _shadow(rng: Generator, mask: Bytes, size: float) -> Floats:
    """The share of light that the shape takes from what lies behind it, H x W x 1."""
    x, y = rng.normal(0, 0.15 * size, 2)
    moved = cv2.warpAffine(mask, np.array([[1, 0, x], [0, 1, y]], np.float32), mask.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.5, 0.5 + 0.06 * size))
    return np.asarray(soft[:, :, None] * np.float32(rng.uniform(0.2, 0.7) / 255), np.float32)


def _relief(rng: Generator, mask: Bytes, size: float) -> Floats:
    """Light and shade of a body that is not flat, H x W x 1: it falls off towards one side."""
    if rng.random() < 0.5:
        return np.ones((1, 1, 1), np.float32)
    height = cv2.GaussianBlur(mask, (0, 0), max(1.0, 0.12 * size)).astype(np.float32) / 255
    down, right = np.gradient(height)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2) * 0.12 * size
    lit = 1 + strength * (np.cos(angle) * right + np.sin(angle) * down)
    return np.asarray(np.clip(lit, 0.3, 1.6)[:, :, None], np.float32)


def _light(rng: Generator, size: int) -> Floats:
    """Uneven light over a whole scene, size x size x 1."""
    coarse = np.exp(rng.normal(0, rng.uniform(0, 0.25), (3, 3))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)[:, :, None]


def _flat(rng: Generator, cloth: Floats) -> Floats:
    """The cloth on the ground: its upper edge is farther away."""
    if rng.random() < 0.5:
        return cloth
    side, pinch = cloth.shape[0], rng.uniform(0.1, 0.4) * cloth.shape[0]
    corners = np.array([[pinch, 0], [side - pinch, 0], [side, side], [0, side]], np.float32)
    whole = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    matrix = cv2.getPerspectiveTransform(whole, corners)
    return np.asarray(cv2.warpPerspective(cloth, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.float32)


def _motion(rng: Generator, size: float) -> Floats:
    """A line to blur with: what a shutter does to what moves."""
    reach = max(2, round(min(12.0, 0.2 * size)))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    angle = rng.uniform(0, np.pi)
    end = (round(reach + reach * np.cos(angle)), round(reach + reach * np.sin(angle)))
    cv2.line(kernel, (reach, reach), end, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)
