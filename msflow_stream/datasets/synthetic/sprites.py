"""Sprites: a figure painted once, the shadow it casts, and both laid over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from msflow_stream.datasets.synthetic.shapes import CIRCLE, Floats, Shape

SHADOW = 0.45  # the share of light that a shadow takes away


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted figure: premultiplied float32 colour h x w x 3, alpha h x w (0 to 1) and where its corner lies."""

    colour: Floats
    alpha: Floats
    left: int
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """The shade a figure casts on the ground: float32 h x w, and where its corner lies."""

    shade: Floats
    left: int
    top: int


def paint(shapes: Sequence[Shape], foot: tuple[float, float], pixels_per_metre: float) -> Sprite:
    """Paints shapes, the first one farthest, at several times the image's resolution and brings them down to it.

    Args:
        shapes: outlines in metres from `foot`.
        foot: where the body stands, (x, y) in pixels of the picture.
    """
    fine = 4 if pixels_per_metre < 60 else 2
    corners = np.concatenate([outline for outline, _ in shapes]) * pixels_per_metre + np.asarray(foot, np.float32)
    left, top = (int(v) for v in np.floor(corners.min(0)) - 1)
    right, bottom = (int(v) for v in np.ceil(corners.max(0)) + 1)
    canvas = np.zeros((fine * (bottom - top), fine * (right - left), 4), np.uint8)
    fixed = np.round(((corners - (left, top)) * fine - 0.5) * 16).astype(np.int32)  # OpenCV's fixed point, 4 bits
    at = 0
    for outline, colour in shapes:
        cv2.fillPoly(canvas, [fixed[at : at + len(outline)]], (*colour, 255), shift=4)
        at += len(outline)
    small = cv2.resize(canvas, (right - left, bottom - top), interpolation=cv2.INTER_AREA).astype(np.float32)
    return Sprite(small[:, :, :3], small[:, :, 3] / np.float32(255), left, top)


def cast_shadow(
    sprite: Sprite, foot: tuple[float, float], scale: float, cast: tuple[float, float], footprint: Floats
) -> Shadow:
    """Returns a sprite's silhouette laid on the ground, and the contact's shade around its foot, both softened.

    Args:
        foot: where the body stands, (x, y) in pixels of the picture.
        scale: pixels a metre.
        cast: where the shadow of a point one metre up falls, (right, down) in metres of the picture.
        footprint: 2 x 2, the half axes of the ground it covers, one a column, in metres of the picture.
    """
    h, w = sprite.alpha.shape
    fx, fy = foot
    lean = np.array([[1, -cast[0]], [0, -cast[1]]])
    corners = np.array([[x - fx, y - fy] for x in (sprite.left, sprite.left + w) for y in (sprite.top, sprite.top + h)])
    rim = CIRCLE @ (footprint.T * scale)
    reach = np.concatenate([corners @ lean.T, rim])
    soft = max(1, round(0.06 * scale))
    left, top = (int(v) - 3 * soft for v in np.floor(reach.min(0) + foot))
    right, bottom = (int(v) + 3 * soft for v in np.ceil(reach.max(0) + foot))
    size = (right - left, bottom - top)
    origin = np.array([sprite.left - fx, sprite.top - fy])
    shift = lean @ origin + np.array([fx - left, fy - top])
    shade = cv2.warpAffine(sprite.alpha, np.column_stack([lean, shift]), size, flags=cv2.INTER_LINEAR)
    contact = np.zeros((size[1], size[0]), np.float32)
    outline = np.round((rim * 1.1 + (fx - left, fy - top)) * 16).astype(np.int32)
    cv2.fillPoly(contact, [outline], (1.0,), lineType=cv2.LINE_8, shift=4)
    both = np.maximum(cv2.GaussianBlur(shade, (0, 0), 0.35 * soft), 1.2 * cv2.GaussianBlur(contact, (0, 0), 0.9 * soft))
    return Shadow(both, left, top)


def paste(picture: Floats, share: Floats, sprite: Sprite, violation: bool) -> None:
    """Lays a sprite over the image; `share` is how much of each pixel is a violation, and follows."""
    place, part = _window(sprite.left, sprite.top, sprite.alpha, share)
    alpha = sprite.alpha[part]
    if alpha.size:
        picture[place] = picture[place] * cv2.cvtColor(1 - alpha, cv2.COLOR_GRAY2RGB) + sprite.colour[part]
        share[place] = share[place] * (1 - alpha) + alpha * np.float32(violation)


def shaded(picture: Floats, shadows: Sequence[Shadow]) -> Floats:
    """Returns the image H x W x 3 with shadows on it: where they overlap, the deeper one counts."""
    depth = np.zeros(picture.shape[:2], np.float32)  # H W
    for shadow in shadows:
        place, part = _window(shadow.left, shadow.top, shadow.shade, depth)
        np.maximum(depth[place], shadow.shade[part], out=depth[place])
    return np.asarray(picture * cv2.cvtColor(1 - np.float32(SHADOW) * depth, cv2.COLOR_GRAY2RGB), np.float32)


def _window(left: int, top: int, piece: Floats, whole: Floats) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns of `whole` that a piece covers, and those of the piece; empty if it is outside."""
    (h, w), (height, width) = piece.shape, whole.shape
    first_row, first_column = min(max(top, 0), height), min(max(left, 0), width)
    end_row, end_column = max(first_row, min(top + h, height)), max(first_column, min(left + w, width))
    inside = (slice(first_row - top, end_row - top), slice(first_column - left, end_column - left))
    return (slice(first_row, end_row), slice(first_column, end_column)), inside
