"""The place, drawn once: the walkway, grass, a wall or hedge, a house behind it, a bench and a lamp post."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.datasets.synthetic.camera import PATH, Body, SyntheticCamera
from msflow_stream.datasets.synthetic.shapes import Colour, Floats, Sprite, paste, shaded
from msflow_stream.datasets.synthetic.vehicles import bench, lamp_post

WALL, WALL_HEIGHT, HOUSE = 3.6, 1.5, 9.0  # where the wall stands (v), how high it is, where the house stands; metres


class Texture:
    """Smooth noise over the plane, from a tile of random numbers that repeats."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._tile = rng.standard_normal((256, 256), dtype=np.float32)

    def smooth(self, x: Floats, y: Floats, cell: float) -> Floats:
        """Returns noise of unit variance at its knots, `cell` metres apart."""
        knots = np.float32(1 / cell)
        noise = cv2.remap(self._tile, x * knots, y * knots, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(noise, np.float32)

    def rough(self, x: Floats, y: Floats, cell: float, octaves: int) -> Floats:
        """Returns noise in `octaves` layers, each twice as fine and 0.6 as strong as the one before."""
        layers = [self.smooth(x, y + 3 * k, cell / 2**k) * np.float32(0.6**k) for k in range(octaves)]
        return np.asarray(np.sum(layers, axis=0), np.float32)

    def blocks(self, x: Floats, y: Floats, size: tuple[float, float], joint: float) -> tuple[Floats, Floats]:
        """Returns running bond: a random tone for each block, and 1 on the joints between them.

        Args:
            size: length and height of a block, metres.
            joint: width of a joint, metres.
        """
        row = np.floor(y / size[1])
        along = x / size[0] + 0.5 * np.mod(row, 2)
        column = np.floor(along)
        edge = np.minimum((along - column) * size[0], (y / size[1] - row) * size[1])
        tone = self._tile[np.mod(row, 256).astype(int), np.mod(column, 256).astype(int)]
        return np.asarray(tone, np.float32), (edge < joint).astype(np.float32)


def tinted(colour: Colour, tone: npt.NDArray[np.floating]) -> Floats:
    """Returns a colour at the brightness `tone` (H x W, 1 for the colour itself), H x W x 3."""
    return np.asarray(colour, np.float32) * tone.astype(np.float32, copy=False)[:, :, None]  # H W 3


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """The place: everything that never changes in the image.

    Attributes:
        ground: H x W x 3, everything that figures are seen before.
        post: the lamp post on the near side, which may hide who passes.
        post_depth: how far from the camera it stands, metres.
    """

    ground: Floats
    post: Sprite
    post_depth: float


def draw_place(camera: SyntheticCamera, rng: np.random.Generator) -> Place:
    """Returns a place at random, with its furniture and the furniture's shadows."""
    ground = _draw_ground(camera, rng)
    seat = Body(float(rng.uniform(-0.5, 1.5)), PATH + 0.55, 1, (0.9, 0.25), bench)
    share, post_v = float(rng.choice([-1.0, 1.0])) * 0.3, -PATH - 0.5
    post = Body(camera.u_at(share, post_v), post_v, 1, (0.12, 0.12), lamp_post)
    (seat_sprite, seat_shadow), (post_sprite, post_shadow) = camera.look_at(seat), camera.look_at(post)
    ground = shaded(ground, [seat_shadow, post_shadow])
    paste(ground, np.zeros_like(ground[:, :, 0]), seat_sprite, violation=False)
    return Place(ground, post_sprite, camera.depth(post.u, post.v))


def _draw_ground(camera: SyntheticCamera, rng: np.random.Generator) -> Floats:
    """The empty scene, H x W x 3: each ray of the camera meets the ground, the wall or the house behind it."""
    fine = 3 if camera.height < 400 else 2 if camera.height < 700 else 1
    y, x = np.mgrid[0 : camera.height * fine, 0 : camera.width * fine].astype(np.float32)
    slope = ((x + 0.5) / fine - camera.width / 2) / camera.focal  # X / Z
    fall = ((y + 0.5) / fine - camera.horizon) / camera.focal  # metres down a metre ahead
    c, s = cos(camera.yaw), sin(camera.yaw)

    def upright(v: float) -> tuple[Floats, Floats]:  # where rays meet the plane at v: along it, height
        z = (v + camera.distance * c) / np.maximum(c - s * slope, 0.05)
        return c * slope * z + s * (z - camera.distance), camera.rise - z * fall

    z = camera.rise / fall
    u, v = c * slope * z + s * (z - camera.distance), c * (z - camera.distance) - s * slope * z
    (wall_u, wall_h), (house_u, house_h) = upright(WALL), upright(HOUSE)
    texture = Texture(rng)
    reach = WALL_HEIGHT * -(camera.sun[1] * c - camera.sun[0] * s)  # how far the wall's shadow comes over the ground
    picture = _surfaces(texture, u, v, rng) * (1 - _shade(texture, u, v, reach))[:, :, None]
    picture = np.where((v > HOUSE)[:, :, None], _house(texture, house_u, house_h), picture)
    hedge = rng.random() < 0.5
    border = _hedge(texture, wall_u, wall_h) if hedge else _wall(texture, wall_u, wall_h, rng)
    picture = np.where(((v > WALL) & (wall_h < WALL_HEIGHT))[:, :, None], border, picture)
    size = (camera.width, camera.height)
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _surfaces(texture: Texture, u: Floats, v: Floats, rng: np.random.Generator) -> Floats:
    """The surfaces from the walkway's middle outwards: paving, edging, kerb, grass."""
    warm = float(rng.uniform(-8, 8))
    tone, joint = texture.blocks(u, v, (0.9, 0.625), 0.035)
    worn = texture.rough(u, v, 1.7, 4)
    paving = tinted((158 + warm, 153, 146 - warm), (1 + 0.045 * tone + 0.035 * worn) * (1 - 0.3 * joint))
    tone, joint = texture.blocks(u, v + 50, (0.5, 0.3), 0.03)
    edging = tinted((124, 118, 114), (1 + 0.05 * tone + 0.03 * worn) * (1 - 0.25 * joint))
    kerb = tinted((186, 184, 178), 1 + 0.03 * worn - 0.25 * (np.mod(u, 1.0) < 0.03))
    blades = texture.rough(u * 1.5, v, 0.35, 4)
    grass = tinted((92, 112, 62), 1 + 0.11 * blades + 0.09 * texture.rough(u, v, 2.4, 2))
    grass += tinted((10, 2, -4), texture.smooth(u, v, 3.1))
    across = np.abs(v)[:, :, None]
    walkway = np.where(across < PATH - 0.3, paving, np.where(across < PATH, edging, kerb))
    return np.where(across < PATH + 0.13, walkway, grass)


def _shade(texture: Texture, u: Floats, v: Floats, reach: float) -> Floats:
    """The share of light that the ground lacks, H x W: a tree out of sight, the wall's shadow and the wall's foot."""
    leaves = np.clip(texture.rough(u + 90, v * 1.3, 1.5, 4) - 0.55, 0, 0.5) * 2
    cast = np.clip((v - (WALL - reach)) / 0.12, 0, 1) if reach > 0 else np.zeros_like(v)
    foot = np.clip(1 - np.abs(v - WALL) / 0.35, 0, 1)
    return np.asarray(np.maximum(0.28 * leaves, np.maximum(0.38 * cast * (v < WALL), 0.4 * foot)), np.float32)


def _wall(texture: Texture, u: Floats, h: Floats, rng: np.random.Generator) -> Floats:
    base = ((150, 102, 84), (168, 156, 138), (140, 138, 136))[rng.integers(3)]
    tone, joint = texture.blocks(u, h, (0.5, 0.2), 0.025)
    stain = texture.rough(u, h * 0.5, 1.1, 4)
    higher = 0.92 + 0.06 * np.clip(h, 0, 1.5)  # is brighter
    bricks = tinted(base, (0.86 + 0.06 * tone + 0.05 * stain) * (1 - 0.2 * joint) * higher)
    coping = tinted((188, 184, 176), 1 + 0.03 * stain)
    return np.where((h > WALL_HEIGHT - 0.12)[:, :, None], coping, bricks)


def _hedge(texture: Texture, u: Floats, h: Floats) -> Floats:
    leaves = texture.rough(u, h, 0.3, 4)
    lit = np.clip((h - WALL_HEIGHT + 0.25) / 0.25, 0, 1)  # the trimmed top catches the sun
    return tinted((58, 80, 46), 0.72 + 0.2 * leaves + 0.5 * lit + 0.12 * np.clip(h, 0, 1.5))


def _house(texture: Texture, u: Floats, h: Floats) -> Floats:
    plaster = tinted((176, 168, 154), 0.92 + 0.03 * texture.rough(u, h, 1.3, 4) - np.float32(0.1) * (h < 0.5))
    across, up = np.mod(u, 2.8) - 1.4, np.mod(h, 3.1)  # from the middle of a window, from its floor
    glass = tinted((74, 88, 100), 0.9 + 0.15 * texture.smooth(u, h, 0.8) + 0.12 * (up - 1.6))
    in_frame = (np.abs(across) < 0.72) & (up > 0.88) & (up < 2.32)
    in_glass = (np.abs(across) < 0.62) & (np.abs(across) > 0.04) & (up > 0.98) & (up < 2.22)
    colours = np.where(in_frame[:, :, None], np.array((206, 204, 198), np.float32), plaster)
    return np.where(in_glass[:, :, None], glass, colours)
