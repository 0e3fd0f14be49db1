"""Outlines to cut textures with: polygons, stars, blobs, rings, boxes in perspective, and figures of limbs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Masks = npt.NDArray[np.uint8]
Generator = np.random.Generator
SHIFT = 4  # binary digits behind the point, as OpenCV draws


def outline(kind: int, rng: Generator, side: int, size: float) -> Masks:
    """Returns the cover (0 to 255) of shape `kind`, about `size` pixels large, in the middle of side x side pixels."""
    mask = np.zeros((side, side), np.uint8)
    KINDS[kind](mask, rng, np.full(2, side / 2), size / 2)
    return mask


def polygon(corners: int, inner: float = 1.0) -> Callable[[Masks, Generator, npt.NDArray[np.float64], float], None]:
    """Returns a function that draws polygons; with `inner` below 1, stars whose points are between as many dents."""

    def draw(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
        count = corners if inner == 1 else 2 * corners
        angles = rng.uniform(0, 2 * np.pi) + (np.arange(count) + rng.uniform(-0.2, 0.2, count)) * 2 * np.pi / count
        reach = np.where(np.arange(count) % 2 == 0, 1.0, inner) * rng.uniform(0.85, 1.15, count)
        points = np.stack((np.cos(angles), np.sin(angles)), 1) * reach[:, None]
        _fill(mask, centre + radius * points @ _stretch(rng))

    return draw


def ellipse(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws a disc, stretched."""
    _fill(mask, centre + radius * _circle(40) @ _stretch(rng))


def blob(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws a disc with a few waves along its rim."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    rim = np.ones(60)
    for k in range(2, 6):
        rim += rng.normal(0, 0.35 / k) * np.cos(k * angles + rng.uniform(0, 7))
    _fill(mask, centre + radius * _circle(60) * rim[:, None])


def ring(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws a disc with a hole."""
    points = centre + radius * _circle(40) @ _stretch(rng)
    cv2.polylines(mask, [_fixed(points)], True, 255, max(1, round(radius * rng.uniform(0.15, 0.4))), cv2.LINE_AA, SHIFT)


def bar(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws a long thin line: poles, wires, cracks that bend."""
    angle, bend = rng.uniform(0, np.pi), rng.normal(0, 0.25, 6).cumsum()
    steps = np.stack((np.cos(angle + bend), np.sin(angle + bend)), 1).cumsum(0)
    points = centre + radius * 0.6 * (steps - steps.mean(0))
    cv2.polylines(
        mask, [_fixed(points)], False, 255, max(1, round(radius * rng.uniform(0.04, 0.2))), cv2.LINE_AA, SHIFT
    )


def cross(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws two bars across one another, in the middle or at an end: crosses, tees, angles."""
    angle, thickness = rng.uniform(0, np.pi), max(1, round(radius * rng.uniform(0.2, 0.5)))
    along = radius * np.array((np.cos(angle), np.sin(angle)))
    across, foot = along[::-1] * (1, -1) * rng.uniform(0.5, 1), centre + along * rng.uniform(-1, 1)
    for middle, arm in ((centre, along), (foot, across)):
        ends = np.stack((middle - arm, middle + arm))
        cv2.polylines(mask, [_fixed(ends)], False, 255, thickness, cv2.LINE_AA, SHIFT)


def figure(limbs: int) -> Callable[[Masks, Generator, npt.NDArray[np.float64], float], None]:
    """Returns a function that draws a body with a head and so many jointed limbs, in any pose."""

    def draw(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
        lean = rng.normal(0, 0.15)
        up = np.array((np.sin(lean), -np.cos(lean)))
        hip, neck = centre + 0.05 * radius * up, centre + 0.62 * radius * up
        width = rng.uniform(0.16, 0.3) * radius
        _stroke(mask, (hip, neck), 1.6 * width)
        _fill(mask, neck + 0.22 * radius * up + 0.17 * radius * _circle(16))
        for number in range(limbs):
            joint = hip if number < 2 else neck
            swing = rng.normal(0, 0.45 if number < 2 else 0.7) + np.pi
            angles = swing + np.array((0.0, rng.normal(0, 0.35))) - lean
            steps = np.stack((np.sin(angles), -np.cos(angles)), 1) * radius * (0.48 if number < 2 else 0.34)
            _stroke(mask, (joint, joint + steps[0], joint + steps.sum(0)), width * (1 if number < 2 else 0.7))

    return draw


def cuboid(mask: Masks, rng: Generator, centre: npt.NDArray[np.float64], radius: float) -> None:
    """Draws the hull of a box as a camera sees it."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * rng.uniform(0.4, 1, 3)
    turn = rng.uniform(0, np.pi)
    side = corners[:, 0] * np.cos(turn) + corners[:, 2] * np.sin(turn)
    depth = corners[:, 2] * np.cos(turn) - corners[:, 0] * np.sin(turn)
    seen = np.stack((side, corners[:, 1] + rng.uniform(0.1, 0.6) * depth), 1) * radius * 0.8
    _fill(mask, cv2.convexHull((centre + seen).astype(np.float32))[:, 0].astype(np.float64))


KINDS: tuple[Callable[[Masks, Generator, npt.NDArray[np.float64], float], None], ...] = (
    polygon(3), polygon(4), polygon(5), polygon(6), polygon(4, 0.4), polygon(5, 0.5), polygon(8, 0.6),
    ellipse, blob, ring, bar, cross, figure(2), figure(4), cuboid,
)  # fmt: skip


def _stretch(rng: Generator) -> npt.NDArray[np.float64]:
    """A random turn with a random stretch."""
    angle, ratio = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.35))
    turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    return np.asarray(turn * np.array((ratio, 1 / ratio)) @ turn.T, np.float64)


def _circle(points: int) -> npt.NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack((np.cos(angles), np.sin(angles)), 1)


def _fixed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    return np.asarray(np.round(points * 2**SHIFT), np.int32)


def _fill(mask: Masks, points: npt.NDArray[np.float64]) -> None:
    cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, SHIFT)


def _stroke(mask: Masks, points: tuple[npt.NDArray[np.float64], ...], width: float) -> None:
    cv2.polylines(mask, [_fixed(np.stack(points))], False, 255, max(1, round(width)), cv2.LINE_AA, SHIFT)
