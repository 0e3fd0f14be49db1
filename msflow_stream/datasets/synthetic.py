"""A synthetic fixed camera over a walkway: what the demo shows, and footage with exact labels where there is none.

Everything follows from seeds, and frame i from (seeds, violations, i) alone, so any frame can be made on its own.
The ground is a plane in metres: u runs along the walkway, v across it, away from the camera.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import cycle, islice
from math import cos, pi, sin
from statistics import NormalDist
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from msflow_stream.datasets import synthetic_figures as figures
from msflow_stream.datasets.synthetic_figures import Floats, Look, Shape, Sprite
from msflow_stream.types import UserError

Kind = Literal["cart", "cyclist", "object", "skater"]

VISIBLE_SHARE = 0.0005  # of the picture's pixels: with fewer of them in sight, a violation is not labelled
MASKED = 0.25  # of a pixel: with a smaller share of it, a violation is not in the mask
PATH = 2.5  # half the walkway's width, and below where the wall and the house behind it stand, in metres
WALL, WALL_HEIGHT, HOUSE = 3.6, 1.5, 9.0
MARGIN = 3.4  # how far outside the picture figures come and go, so that not even a shadow does so in sight
SHADOW = 0.45  # the share of light that a shadow takes away
FIRST_WALKER = 1 << 20  # walkers before time 0 have negative numbers, seeds may not


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that does not belong on the walkway.

    A cart, a cyclist or a skater enters the picture at `start` and has crossed it by `end` (seconds), at the speed
    that takes; an object stands there from `start` until just before `end`.
    """

    kind: Kind
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UserError(f"unknown violation {self.kind!r}: use one of {', '.join(get_args(Kind))}")
        if not self.start < self.end:
            raise UserError(f"a violation must end after it starts, got {self.start} to {self.end} s")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """A frame and its ground truth.

    Attributes:
        index: position in the scene's footage; `time` is index / rate, in seconds.
        image: uint8 H x W x 3, RGB.
        mask: uint8 H x W, 1 where a violation is in sight (not its shadow, not what others hide); all 0 if fewer
            than `VISIBLE_SHARE` of the picture's pixels would be 1.
        label: 1 if the mask has a pixel, else 0.
    """

    index: int
    time: float
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    label: int


@dataclass(frozen=True, slots=True)
class _Body:
    """A figure on the ground: `heading` is +1 or -1 along u, `footprint` half its length and half its width."""

    u: float
    v: float
    heading: int
    footprint: tuple[float, float]
    draw: Callable[[Floats], list[Shape]]
    violation: bool = False


@dataclass(frozen=True, slots=True)
class _Walker:
    enters: float
    speed: float
    v: float
    heading: int
    stride: float
    look: Look


def default_violations(duration: float) -> tuple[Violation, ...]:
    """A schedule for a clip of `duration` seconds: cart, cyclist, object and skater in turn, normal time between."""
    natural: dict[Kind, float] = {"cart": 3.0, "cyclist": 3.6, "object": 6.0, "skater": 4.2}
    count = max(len(natural), round(duration / 10))
    slot = duration / count
    spans = [(kind, min(natural[kind], 0.6 * slot)) for kind in islice(cycle(natural), count)]
    return tuple(
        Violation(kind, start=(k + 0.5) * slot - length / 2, end=(k + 0.5) * slot + length / 2)
        for k, (kind, length) in enumerate(spans)
    )


class SyntheticScene:
    """One fixed camera. The same `seed` is the same place, another `traffic_seed` another day: other people and noise.

    Args:
        width, height: of the picture, in pixels.
        rate: frames per second.
        seed: of the place: the camera, the ground, what stands around.
        traffic_seed: of what changes: pedestrians, the weather's light, the camera's noise.

    >>> scene = SyntheticScene(320, 240, traffic_seed=1)
    >>> clip = scene.render(60.0, default_violations(60.0))
    """

    def __init__(self, width: int = 320, height: int = 240, rate: Fraction = Fraction(25), seed: int = 0,
                 traffic_seed: int = 0) -> None:  # fmt: skip
        if width < 16 or height < 16 or rate <= 0:
            raise UserError(
                f"a scene needs at least 16 x 16 pixels and a positive rate, got {width} x {height}, {rate}"
            )
        self.width, self.height, self.rate = width, height, Fraction(rate)
        self.seed, self.traffic_seed = seed, traffic_seed
        place = np.random.default_rng((seed, 0))
        self._camera = _Camera.draw(width, height, place)
        self._ground = _draw_place(self._camera, place)  # H W 3
        self._foreground = self._furnish(place)
        light = np.random.default_rng((seed, traffic_seed, 1))
        self._light_phases = light.uniform(0, 2 * pi, 2)
        self._clouds = light.standard_normal((8, 64), dtype=np.float32)
        self._quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)], np.float32)
        self._length = self._camera.last_u - self._camera.first_u
        self._walker = lru_cache(maxsize=256)(self._draw_walker)

    def render(self, duration: float, violations: Sequence[Violation] = (), first_frame: int = 0) -> Iterator[
        LabelledFrame
    ]:  # fmt: skip
        """The frames of `duration` seconds from `first_frame` on; violations keep to the scene's own clock."""
        for index in range(first_frame, first_frame + round(duration * self.rate)):
            yield self.frame(index, violations)

    def frame(self, index: int, violations: Sequence[Violation] = ()) -> LabelledFrame:
        """Frame `index` alone, the same as the one met on the way by `render`."""
        if index < 0:
            raise UserError(f"frames are counted from 0, got {index}")
        time = float(index / self.rate)
        bodies = self._pedestrians(time) + [self._violator(v, time) for v in violations if v.start <= time < v.end]
        picture, mask = self._compose(bodies)
        if np.count_nonzero(mask) < VISIBLE_SHARE * mask.size:
            mask[:] = 0
        return LabelledFrame(index, time, self._expose(picture, index, time), mask, int(mask.any()))

    def _compose(self, bodies: Sequence[_Body]) -> tuple[Floats, npt.NDArray[np.uint8]]:
        """Paint ground, shadows, then bodies from far to near; the mask holds what stays in sight of violations."""
        painted = [
            (self._camera.depth(b.u, b.v), b.violation, *self._camera.look_at(b))
            for b in bodies
            if self._camera.may_see(b)
        ]
        shade = np.zeros((self.height, self.width), np.float32)
        for _, _, _, shadow in painted:
            _paste_shadow(shade, shadow)
        picture = self._ground * cv2.cvtColor(1 - np.float32(SHADOW) * shade, cv2.COLOR_GRAY2RGB)
        share = np.zeros((self.height, self.width), np.float32)
        sprites = [(depth, violation, sprite) for depth, violation, sprite, _ in painted]
        for _, violation, sprite in sorted([*sprites, *self._foreground], key=lambda item: -item[0]):
            _paste(picture, share, sprite, violation)
        return picture, (share >= MASKED).astype(np.uint8)

    def _expose(self, picture: Floats, index: int, time: float) -> npt.NDArray[np.uint8]:
        """The picture as the camera delivers it: lens, the hour's light, clouds, flicker, noise of the sensor."""
        rng = np.random.default_rng((self.seed, self.traffic_seed, 3, index))
        exposed = np.asarray(cv2.GaussianBlur(picture, (3, 3), 0.45), np.float32)
        exposed *= cv2.cvtColor(self.light(time, float(rng.normal(0, 0.002))), cv2.COLOR_GRAY2RGB)
        grain = self._noise(rng, (self.height, self.width, 1))
        coarse = self._noise(
            rng, ((self.height + 1) // 2, (self.width + 1) // 2, 3)
        )  # a sensor's colour is interpolated
        noise = 0.8 * cv2.resize(coarse, (self.width, self.height)) + cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB)
        exposed += noise * np.sqrt(1.0 + exposed * np.float32(0.0135))  # shot noise grows with the light
        return np.asarray(np.clip(exposed + 0.5, 0, 255), np.uint8)

    def _noise(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        """Normal noise of unit variance, by random bytes and the 256 quantiles of their rank: ten times as fast."""
        return cv2.LUT(rng.integers(0, 256, shape, np.uint8), self._quantiles).astype(np.float32, copy=False)

    def light(self, time: float, flicker: float = 0.0) -> Floats:
        """The light's gain at `time`, H x W: within 8 % of the lens's vignette."""
        a, b = self._light_phases
        overall = 1 + 0.025 * sin(2 * pi * time / 97 + a) + 0.012 * sin(2 * pi * time / 31 + b) + flicker
        xs = (time * 0.12 + np.arange(9, dtype=np.float32) * 0.6)[None, :] % 63
        ys = np.linspace(0.5, 5.5, 7, dtype=np.float32)[:, None]
        at_x, at_y = (np.ascontiguousarray(g, np.float32) for g in np.broadcast_arrays(xs, ys))
        cloud = cv2.remap(self._clouds, at_x, at_y, cv2.INTER_LINEAR)
        drift = cv2.resize(
            np.float32(0.035) * np.tanh(cloud), (self.width, self.height), interpolation=cv2.INTER_LINEAR
        )
        return np.asarray(self._camera.vignette * (np.float32(overall) + drift), np.float32)

    def _furnish(self, place: np.random.Generator) -> list[tuple[float, bool, Sprite]]:
        """Set the bench and its shadow into the background; a lamp post on the near side may hide who passes."""
        camera = self._camera
        u = float(place.uniform(-0.5, 1.5))
        heading = 1
        seat = _Body(u, PATH + 0.55, heading, (0.9, 0.25), figures.bench)
        side = float(place.choice([-1.0, 1.0])) * 0.3 * self.width / camera.focal
        post_v = -PATH - 0.5
        post_u = camera.u_at(side, post_v)
        post = _Body(post_u, post_v, heading, (0.12, 0.12), figures.lamp_post)
        (seat_sprite, seat_shadow), (post_sprite, post_shadow) = camera.look_at(seat), camera.look_at(post)
        shade = np.zeros((self.height, self.width), np.float32)
        for shadow in (seat_shadow, post_shadow):
            _paste_shadow(shade, shadow)
        self._ground *= (1 - SHADOW * shade)[:, :, None]
        _paste(self._ground, np.zeros((self.height, self.width), np.float32), seat_sprite, violation=False)
        return [(camera.depth(post_u, post_v), False, post_sprite)]

    def _pedestrians(self, time: float) -> list[_Body]:
        """Who is on the walkway: walkers start at steady intervals, so that about four are in sight at any time."""
        in_sight = self._length - 2 * MARGIN
        interval = in_sight / 1.3 / min(8.0, max(2.0, 0.32 * in_sight))
        oldest = int((time - self._length / 1.0) / interval) - 2
        bodies = []
        for number in range(oldest, int(time / interval) + 2):
            walker = self._walker(number)
            gone = (time - walker.enters * interval) * walker.speed
            if 0 <= gone <= self._length:
                bodies.append(self._walking(walker, gone))
        return bodies

    def _draw_walker(self, number: int) -> _Walker:
        rng = np.random.default_rng((self.seed, self.traffic_seed, 2, number + FIRST_WALKER))
        return _Walker(
            enters=number + float(rng.uniform(-0.45, 0.45)),
            speed=float(rng.uniform(1.05, 1.6)),
            v=float(rng.uniform(-2.1, 2.1)),
            heading=int(rng.choice([-1, 1])),
            stride=float(rng.uniform(1.3, 1.5)),
            look=Look.draw(rng),
        )

    def _walking(self, walker: _Walker, gone: float) -> _Body:
        v = walker.v + 0.06 * sin(gone * 0.9 + walker.stride * 40)
        phase = 2 * pi * gone / walker.stride
        return _Body(
            self._along(gone, walker.heading),
            v,
            walker.heading,
            (0.24, 0.2),
            lambda a: figures.walker(walker.look, phase, a),
        )

    def _violator(self, violation: Violation, time: float) -> _Body:
        """The violation's figure at `time`; its lane and its looks follow from the seeds and from when it starts."""
        kinds = get_args(Kind)
        own = (kinds.index(violation.kind), abs(round(violation.start * 1000)))
        rng = np.random.default_rng((self.seed, self.traffic_seed, 4, *own))
        look, heading, v = Look.draw(rng), int(rng.choice([-1, 1])), float(rng.uniform(-1.2, 1.2))
        if violation.kind == "object":
            middle = self._camera.u_at(float(rng.uniform(-0.3, 0.3)) * self.width / self._camera.focal, v)
            colours: tuple[figures.Colour, ...] = ((196, 44, 52), (34, 92, 170), (228, 196, 40), (24, 126, 92))
            colour = colours[rng.integers(len(colours))]
            return _Body(middle, v, heading, (0.3, 0.2), lambda a: figures.suitcase(colour, a), violation=True)
        gone = self._length * (time - violation.start) / (violation.end - violation.start)
        footprint, draw = _vehicle(violation.kind, look, gone)
        return _Body(self._along(gone, heading), v, heading, footprint, draw, violation=True)

    def _along(self, gone: float, heading: int) -> float:
        return self._camera.first_u + gone if heading > 0 else self._camera.last_u - gone


def _vehicle(kind: Kind, look: Look, gone: float) -> tuple[tuple[float, float], Callable[[Floats], list[Shape]]]:
    """Footprint and figure of a cart, cyclist or skater that has gone so many metres."""
    if kind == "cart":
        return (1.25, 0.6), lambda a: figures.cart(look, a)
    if kind == "cyclist":
        return (0.85, 0.16), lambda a: figures.cyclist(look, gone * 1.3, a)
    return (0.5, 0.2), lambda a: figures.skater(look, a)


@dataclass(frozen=True, slots=True, eq=False)
class _Camera:
    """A pinhole camera with upright verticals, `rise` metres over the ground; pixels unless said otherwise.

    A point X right, Z ahead and h up is at (centre + focal X / Z, horizon + focal (rise - h) / Z).
    """

    width: int
    height: int
    focal: float
    horizon: float
    rise: float
    yaw: float
    distance: float  # to the middle of the walkway, metres
    sun: tuple[float, float]  # the shadow of an upright metre: metres right, metres ahead
    first_u: float
    last_u: float
    vignette: Floats

    @classmethod
    def draw(cls, width: int, height: int, rng: np.random.Generator) -> _Camera:
        """A camera at random over a walkway that crosses the picture, and goes away to the left or to the right."""
        focal = max(1.1 * height, 0.6 * width)
        horizon, rise = -0.05 * height, float(rng.uniform(5.2, 5.8))
        yaw = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.32, 0.46))
        distance = focal * rise / (0.64 * height - horizon)
        sun = (float(rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 0.7)), -float(rng.uniform(0.25, 0.45)))
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
        camera = cls(width, height, focal, horizon, rise, yaw, distance, sun, 0.0, 0.0, 1 - 0.09 * (x * x + y * y) / 2)
        ends = [camera.u_at(side * width / 2 / focal, v) for side in (-1, 1) for v in (-PATH, PATH)]
        return cls(width, height, focal, horizon, rise, yaw, distance, sun, min(ends) - MARGIN, max(ends) + MARGIN,
                   camera.vignette)  # fmt: skip

    def u_at(self, slope: float, v: float) -> float:
        """Where the line at v is met by the ray X = slope Z."""
        z = (v + self.distance * cos(self.yaw)) / (cos(self.yaw) - slope * sin(self.yaw))
        return cos(self.yaw) * slope * z + sin(self.yaw) * (z - self.distance)

    def depth(self, u: float, v: float) -> float:
        """Z of a ground point, metres."""
        return self.distance + u * sin(self.yaw) + v * cos(self.yaw)

    def may_see(self, body: _Body) -> bool:
        """Whether any of the body or its shadow can be in the picture."""
        z = max(self.depth(body.u, body.v), 1.0)
        x = body.u * cos(self.yaw) - body.v * sin(self.yaw)
        return abs(x) < self.width / 2 / self.focal * z + body.footprint[0] + 2.1

    def look_at(self, body: _Body) -> tuple[Sprite, Sprite]:
        """The body and its soft shadow, painted where they are seen."""
        x, z = body.u * cos(self.yaw) - body.v * sin(self.yaw), self.depth(body.u, body.v)
        z = max(z, 1.0)
        scale = self.focal / z
        foot = (self.width / 2 + scale * x, self.horizon + scale * self.rise)
        forward = (body.heading * cos(self.yaw), body.heading * sin(self.yaw))
        left = (-forward[1], forward[0])
        tilt = (self.rise - 0.8) / z  # how far down a metre towards the camera comes, at half a person's height
        axes = np.array(
            [[d[0] - x / z * d[1] for d in (forward, left)] + [0], [-tilt * d[1] for d in (forward, left)] + [-1]],
            np.float32,
        )
        sprite = figures.paint(body.draw(axes), foot, scale)
        cast = (self.sun[0] - x / z * self.sun[1], -tilt * self.sun[1])
        return sprite, _cast_shadow(sprite, foot, scale, cast, axes[:, :2] * body.footprint)


def _cast_shadow(sprite: Sprite, foot: tuple[float, float], scale: float, cast: tuple[float, float],
                 footprint: Floats) -> Sprite:  # fmt: skip
    """A sprite's silhouette laid on the ground, and the contact's shade around its foot, both softened.

    Args:
        cast: where the shadow of a point one metre up falls, (right, down) in metres of the picture.
        footprint: 2 x 2, the half axes of the ground it covers, one a column, in metres of the picture.
    """
    h, w = sprite.alpha.shape
    fx, fy = foot
    lean = np.array([[1, -cast[0]], [0, -cast[1]]])
    corners = np.array([[x - fx, y - fy] for x in (sprite.left, sprite.left + w) for y in (sprite.top, sprite.top + h)])
    rim = figures.CIRCLE @ (footprint.T * scale)
    reach = np.concatenate([corners @ lean.T, rim])
    soft = max(1, round(0.06 * scale))
    left, top = (int(v) - 3 * soft for v in np.floor(reach.min(0) + foot))
    right, bottom = (int(v) + 3 * soft for v in np.ceil(reach.max(0) + foot))
    origin = np.array([sprite.left - fx, sprite.top - fy])
    shift = lean @ origin + np.array([fx - left, fy - top])
    size = (right - left, bottom - top)
    shade = cv2.warpAffine(sprite.alpha, np.column_stack([lean, shift]), size, flags=cv2.INTER_LINEAR)
    contact = np.zeros((size[1], size[0]), np.float32)
    outline = np.round((rim * 1.1 + (fx - left, fy - top)) * 16).astype(np.int32)
    cv2.fillPoly(contact, [outline], (1.0,), lineType=cv2.LINE_8, shift=4)
    both = np.maximum(cv2.GaussianBlur(shade, (0, 0), 0.35 * soft), 1.2 * cv2.GaussianBlur(contact, (0, 0), 0.9 * soft))
    return Sprite(both[:, :, None], both, left, top)


def _window(sprite: Sprite, height: int, width: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The rows and columns of the picture that a sprite covers, and those of the sprite; empty if it is outside."""
    h, w = sprite.alpha.shape
    top, left = min(max(sprite.top, 0), height), min(max(sprite.left, 0), width)
    bottom, right = max(top, min(sprite.top + h, height)), max(left, min(sprite.left + w, width))
    inside = (slice(top - sprite.top, bottom - sprite.top), slice(left - sprite.left, right - sprite.left))
    return (slice(top, bottom), slice(left, right)), inside


def _paste(picture: Floats, share: Floats, sprite: Sprite, violation: bool) -> None:
    """Lay a sprite over the picture; `share` is how much of each pixel is a violation, and follows."""
    place, part = _window(sprite, *share.shape)
    alpha = sprite.alpha[part]
    if alpha.size:
        picture[place] = picture[place] * cv2.cvtColor(1 - alpha, cv2.COLOR_GRAY2RGB) + sprite.colour[part]
        share[place] = share[place] * (1 - alpha) + alpha * np.float32(violation)


def _paste_shadow(shade: Floats, shadow: Sprite) -> None:
    place, part = _window(shadow, *shade.shape)
    np.maximum(shade[place], shadow.alpha[part], out=shade[place])


def _draw_place(camera: _Camera, rng: np.random.Generator) -> Floats:
    """The empty scene, H x W x 3 float32: each ray of the camera meets the ground, the wall or the house behind it."""
    fine = 3 if camera.height < 400 else 2 if camera.height < 700 else 1
    y, x = np.mgrid[0 : camera.height * fine, 0 : camera.width * fine].astype(np.float32)
    slope = ((x + 0.5) / fine - camera.width / 2) / camera.focal  # X / Z
    fall = ((y + 0.5) / fine - camera.horizon) / camera.focal  # metres down a metre ahead
    c, s = cos(camera.yaw), sin(camera.yaw)

    def meets(v: float) -> tuple[Floats, Floats]:
        z = (v + camera.distance * c) / np.maximum(c - s * slope, 0.05)
        return c * slope * z + s * (z - camera.distance), camera.rise - z * fall  # along it, height

    z = camera.rise / fall
    u, v = c * slope * z + s * (z - camera.distance), c * (z - camera.distance) - s * slope * z
    wall_u, wall_h = meets(WALL)
    house_u, house_h = meets(HOUSE)
    texture = _Texture(rng)
    reach = WALL_HEIGHT * -(camera.sun[1] * c - camera.sun[0] * s)  # how far the wall's shadow comes over the ground
    picture = _ground_colours(texture, u, v, z, reach, rng)
    seen = v > WALL
    for covers, colours in (
        (seen & (v > HOUSE), _house(texture, house_u, house_h)),
        (seen & (wall_h < WALL_HEIGHT), _hedge(texture, wall_u, wall_h) if rng.random() < 0.5 else
         _wall(texture, wall_u, wall_h, rng)),
    ):  # fmt: skip
        picture = np.where(covers[:, :, None], colours, picture)
    size = (camera.width, camera.height)
    return cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float32)


class _Texture:
    """Smooth noise over the plane, from a tile of random numbers that repeats."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._tile = rng.standard_normal((256, 256), dtype=np.float32)

    def smooth(self, x: Floats, y: Floats, cell: float) -> Floats:
        """Noise of unit variance at its knots, `cell` metres apart."""
        knots = np.float32(1 / cell)
        noise = cv2.remap(self._tile, x * knots, y * knots, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(noise, np.float32)

    def rough(self, x: Floats, y: Floats, cell: float, octaves: int) -> Floats:
        """Noise in `octaves` layers, each twice as fine and 0.6 as strong as the one before."""
        layers = [self.smooth(x, y + 3 * k, cell / 2**k) * np.float32(0.6**k) for k in range(octaves)]
        return np.asarray(np.sum(layers, axis=0), np.float32)

    def per_cell(self, i: Floats, j: Floats) -> Floats:
        """A random number for each whole (i, j): one slab's tone."""
        return np.asarray(self._tile[np.mod(j, 256).astype(int), np.mod(i, 256).astype(int)], np.float32)


def _blocks(texture: _Texture, x: Floats, y: Floats, size: tuple[float, float], joint: float) -> tuple[Floats, Floats]:
    """Running bond: a tone for each block, and 1 on the joints between them."""
    row = np.floor(y / size[1])
    along = x / size[0] + 0.5 * np.mod(row, 2)
    column = np.floor(along)
    edge = np.minimum((along - column) * size[0], (y / size[1] - row) * size[1])
    return texture.per_cell(column, row), (edge < joint).astype(np.float32)


def _tinted(colour: figures.Colour, tone: npt.NDArray[np.float32] | npt.NDArray[np.float64]) -> Floats:
    return np.asarray(colour, np.float32) * tone.astype(np.float32, copy=False)[:, :, None]  # H W 3


def _ground_colours(
    texture: _Texture, u: Floats, v: Floats, z: Floats, reach: float, rng: np.random.Generator
) -> Floats:
    warm = float(rng.uniform(-8, 8))
    tone, joint = _blocks(texture, u, v, (0.9, 0.625), 0.035)
    worn = texture.rough(u, v, 1.7, 4)
    paving = _tinted((158 + warm, 153, 146 - warm), (1 + 0.045 * tone + 0.035 * worn) * (1 - 0.3 * joint))
    edging_tone, edging_joint = _blocks(texture, u, v + 50, (0.5, 0.3), 0.03)
    edging = _tinted((124, 118, 114), (1 + 0.05 * edging_tone + 0.03 * worn) * (1 - 0.25 * edging_joint))
    kerb = _tinted((186, 184, 178), 1 + 0.03 * worn - 0.25 * (np.mod(u, 1.0) < 0.03))
    blades = texture.rough(u * 1.5, v, 0.35, 4)
    grass = _tinted((92, 112, 62), 1 + 0.11 * blades + 0.09 * texture.rough(u, v, 2.4, 2))
    grass += _tinted((10, 2, -4), texture.smooth(u, v, 3.1))
    across = np.abs(v)[:, :, None]
    ground = np.where(across < PATH - 0.3, paving, np.where(across < PATH, edging, kerb))
    ground = np.where(across < PATH + 0.13, ground, grass)
    leaves = np.clip(texture.rough(u + 90, v * 1.3, 1.5, 4) - 0.55, 0, 0.5) * 2  # the shade of a tree out of sight
    near_wall = np.clip((v - (WALL - reach)) / 0.12, 0, 1) if reach > 0 else np.zeros_like(v)
    deep = np.clip(1 - np.abs(v - WALL) / 0.35, 0, 1)
    shade = np.maximum(0.28 * leaves, np.maximum(0.38 * near_wall * (v < WALL), 0.4 * deep))
    return np.asarray(ground * (1 - shade)[:, :, None], np.float32)


def _wall(texture: _Texture, u: Floats, h: Floats, rng: np.random.Generator) -> Floats:
    base = ((150, 102, 84), (168, 156, 138), (140, 138, 136))[rng.integers(3)]
    tone, joint = _blocks(texture, u, h, (0.5, 0.2), 0.025)
    stain = texture.rough(u, h * 0.5, 1.1, 4)
    colours = _tinted(
        base, (0.86 + 0.06 * tone + 0.05 * stain) * (1 - 0.2 * joint) * (0.92 + 0.06 * np.clip(h, 0, 1.5))
    )
    coping = _tinted((188, 184, 176), 1 + 0.03 * stain)
    return np.where((h > WALL_HEIGHT - 0.12)[:, :, None], coping, colours)


def _hedge(texture: _Texture, u: Floats, h: Floats) -> Floats:
    leaves = texture.rough(u, h, 0.3, 4)
    lit = np.clip((h - WALL_HEIGHT + 0.25) / 0.25, 0, 1)  # the trimmed top catches the sun
    return _tinted((58, 80, 46), 0.72 + 0.2 * leaves + 0.5 * lit + 0.12 * np.clip(h, 0, 1.5))


def _house(texture: _Texture, u: Floats, h: Floats) -> Floats:
    plaster = _tinted((176, 168, 154), 0.92 + 0.03 * texture.rough(u, h, 1.3, 4) - np.float32(0.1) * (h < 0.5))
    across, up = np.mod(u, 2.8) - 1.4, np.mod(h, 3.1)
    glass = _tinted((74, 88, 100), 0.9 + 0.15 * texture.smooth(u, h, 0.8) + 0.12 * (up - 1.6))
    in_frame = (np.abs(across) < 0.72) & (up > 0.88) & (up < 2.32)
    in_glass = (np.abs(across) < 0.62) & (np.abs(across) > 0.04) & (up > 0.98) & (up < 2.22)
    colours = np.where(in_frame[:, :, None], np.array((206, 204, 198), np.float32), plaster)
    return np.where(in_glass[:, :, None], glass, colours)
