"""Textures as grey fields: families of formulas, whose parameters make a class and whose chance makes a piece of it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

POINTS, JUMPS, SETTLING = 1500, 30, 8
Floats = npt.NDArray[np.float32]
Generator = np.random.Generator
Family = Callable[[Generator, Generator, int], Floats]


def fractal(kind: np.random.Generator, rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Returns the attractor of the maps that `kind` draws, shaken by `rng`: the logarithm of hits per pixel."""
    count = int(kind.integers(2, 7))
    maps = contractions(kind, count)  # K 2 2
    shifts = kind.uniform(-1, 1, (count, 2))
    maps = maps * rng.uniform(0.92, 1.08, maps.shape)
    weights = np.abs(np.linalg.det(maps)) + 0.02
    position = rng.uniform(-1, 1, (POINTS, 2))
    met = []
    for jump in range(JUMPS):
        chosen = rng.choice(count, POINTS, p=weights / weights.sum())
        position = np.einsum("nij,nj->ni", maps[chosen], position) + shifts[chosen]
        if jump >= SETTLING:
            met.append(position)
    points = np.concatenate(met)
    low, high = np.quantile(points, 0.005, axis=0), np.quantile(points, 0.995, axis=0)
    scaled = (points - low) / np.maximum(high - low, 1e-6) * (size - 1)
    counts, _, _ = np.histogram2d(scaled[:, 1], scaled[:, 0], size, ((0, size), (0, size)))
    drawn = cv2.GaussianBlur(np.log1p(counts).astype(np.float32), (0, 0), 0.8)
    return np.asarray(drawn, np.float32)


def contractions(kind: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Returns `count` matrices that bring points nearer: turned, stretched by less than one, and turned again."""
    first, second = kind.uniform(0, 2 * np.pi, (2, count))
    stretch = kind.uniform(0.3, 0.85, (count, 2)) * kind.choice((-1, 1), (count, 2))
    return np.asarray(np.einsum("nij,nj,njk->nik", _turns(first), stretch, _turns(second)), np.float64)


def _turns(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack((np.stack((cos, -sin), -1), np.stack((sin, cos), -1)), -2)


def field(number: int, rng: Generator, size: int) -> Floats:
    """Returns an instance of texture class `number`, size x size, within 0 and 1.

    The class decides the formula and its parameters; `rng` decides what differs between two pieces of the same cloth.
    """
    family = FAMILIES[number % len(FAMILIES)]
    raw = family(np.random.default_rng((number, 77)), rng, size)
    low, high = np.quantile(raw, (0.01, 0.99))
    return np.asarray(np.clip((raw - low) / max(high - low, 1e-6), 0, 1), np.float32)


def spectral(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns 1/f noise whose class decides the fall of the spectrum and its direction."""
    fall, stretch, angle = kind.uniform(0.6, 3.2), kind.uniform(1, 5), kind.uniform(0, np.pi)
    fx, fy = _frequencies(size)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    radius = np.maximum(np.hypot(along * stretch, across / stretch if kind.random() < 0.6 else across * stretch), 1)
    return _filtered(rng, size, radius ** (-fall / 2 - 0.5))


def labyrinth(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns a band of frequencies, driven into saturation: the spots and mazes of reaction and diffusion."""
    centre, width = kind.uniform(4, 24), kind.uniform(0.1, 0.5)
    angle, direction = kind.uniform(0, np.pi), kind.uniform(0, 1.5)
    offset, gain = kind.uniform(-1, 1), kind.uniform(0.8, 6)
    fx, fy = _frequencies(size)
    radius = np.hypot(fx, fy)
    band = np.exp(-(((radius - centre) / (width * centre)) ** 2))
    noise = _filtered(rng, size, band * np.exp(direction * np.cos(2 * (np.arctan2(fy, fx) - angle))))
    return np.asarray(np.tanh(gain * (noise / max(float(noise.std()), 1e-6) + offset)), np.float32)


def waves(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns one to three gratings, bent by smooth noise: sines, stripes or ramps."""
    y, x = _positions(size)
    bend = _filtered(rng, size, np.maximum(np.hypot(*_frequencies(size)), 1) ** -2.5)
    bend *= kind.uniform(0, 0.06) / max(float(bend.std()), 1e-6)
    shape, total = kind.integers(3), np.zeros((size, size), np.float32)
    for _ in range(kind.integers(1, 4)):
        cycles, angle = np.exp(kind.uniform(np.log(3), np.log(36))), kind.uniform(0, np.pi)
        phase = cycles * (x * np.cos(angle) + y * np.sin(angle) + bend) + rng.random()
        wave = (np.sin(2 * np.pi * phase), np.sign(np.sin(2 * np.pi * phase)), phase % 1)[shape]
        total += np.asarray(wave * kind.uniform(0.4, 1), np.float32)
    return total


def cells(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns the cells around scattered points: distances, walls or tones."""
    count, mode = int(np.exp(kind.uniform(np.log(12), np.log(500)))), kind.integers(3)
    points = np.ones((size, size), np.uint8)
    points[rng.integers(size, size=count), rng.integers(size, size=count)] = 0
    distance, label = cv2.distanceTransformWithLabels(
        points, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    if mode == 0:
        return np.asarray(distance ** kind.uniform(0.4, 2), np.float32)
    tones = rng.random(int(label.max()) + 1).astype(np.float32)[label]
    if mode == 1:
        return np.asarray(tones, np.float32)
    walls = cv2.morphologyEx(label.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    return np.asarray(walls + np.float32(kind.uniform(0, 0.4)) * tones, np.float32)


def bricks(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns rows of blocks with joints and a tone for each: slabs, bricks, planks, tiles, chequers."""
    length, height = np.exp(kind.uniform(np.log(0.04), np.log(0.35), 2))
    joint, shift, spread = kind.uniform(0.05, 0.2) * min(length, height), kind.choice((0.0, 0.5, 0.33)), kind.random()
    chequers = kind.random() < 0.25
    y, x = _positions(size)
    row = np.floor(y / height + rng.random())
    along = x / length + shift * row + rng.random()
    column = np.floor(along)
    edge = np.minimum((along - column) * length, ((y / height) % 1) * height)
    tones = rng.random((64, 64)).astype(np.float32)[row.astype(int) % 64, column.astype(int) % 64]
    tone = (row + column) % 2 if chequers else spread * tones
    return np.asarray(np.where(edge < joint, -0.6, tone), np.float32)


def dots(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns dots of one size, on a grid that is more or less shaken."""
    step = np.exp(kind.uniform(np.log(5), np.log(26)))
    radius, shake, soft = step * kind.uniform(0.15, 0.45), kind.uniform(0, 0.7), kind.uniform(0.4, 3)
    canvas = np.zeros((size, size), np.uint8)
    grid = np.stack(np.meshgrid(np.arange(0, size + step, step), np.arange(0, size + step, step)), -1).reshape(-1, 2)
    for x, y in grid + rng.normal(0, shake * step / 2, grid.shape):
        centre = (round(float(x) * 16), round(float(y) * 16))
        cv2.circle(canvas, centre, round(float(radius) * 16), 255, -1, cv2.LINE_AA, shift=4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), soft), np.float32)


def strokes(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns short lines of one length that point one way, more or less: grass, hair, scratches, fabric."""
    count, length = int(kind.uniform(60, 500)), np.exp(kind.uniform(np.log(4), np.log(50)))
    angle, spread, thickness = kind.uniform(0, np.pi), kind.uniform(0.02, 1.5), int(kind.integers(1, 4))
    start = rng.uniform(-length, size + length, (count, 2))
    turn = angle + rng.normal(0, spread, count)
    end = start + length * rng.uniform(0.6, 1.4, (count, 1)) * np.stack((np.cos(turn), np.sin(turn)), 1)
    canvas = np.full((size, size), 110, np.uint8)
    ends = (start * 16).astype(int).tolist(), (end * 16).astype(int).tolist()
    for first, last, tone in zip(*ends, rng.integers(256, size=count).tolist(), strict=True):
        cv2.line(canvas, first, last, tone, thickness, cv2.LINE_AA, shift=4)
    return np.asarray(canvas, np.float32)


def leaves(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns dead leaves: discs or boxes that hide one another, their sizes falling by a power."""
    power, smallest, box = kind.uniform(2, 3.5), kind.uniform(1.5, 6), kind.random() < 0.5
    count = 500
    radii = np.minimum(smallest * (1 - rng.random(count)) ** (-1 / (power - 1)), 40)
    canvas = np.full((size, size), 128, np.uint8)
    middles, tones = rng.integers(size, size=(count, 2)).tolist(), rng.integers(256, size=count).tolist()
    for (x, y), r, tone in zip(middles, np.round(radii).astype(int).tolist(), tones, strict=True):
        if box:
            cv2.rectangle(canvas, (x - r, y - r), (x + r, y + r // 2), tone, -1)
        else:
            cv2.circle(canvas, (x, y), r, tone, -1, cv2.LINE_AA)
    return np.asarray(canvas, np.float32)


def fractals(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns an iterated function system, whose maps an instance shakes a little."""
    return fractal(kind, rng, size)


def smooth(kind: Generator, rng: Generator, size: int) -> Floats:
    """Returns nearly nothing: a wall, a sky, with some grain."""
    fx, fy = _frequencies(size)
    tone = _filtered(rng, size, np.maximum(np.hypot(fx, fy), 1) ** -3.0)
    grain = rng.standard_normal((size, size), dtype=np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), kind.uniform(0.5, 2.5)), np.float32)
    return tone / max(float(tone.std()), 1e-6) + np.float32(kind.uniform(0, 1)) * grain


FAMILIES: tuple[Family, ...] = (spectral, labyrinth, waves, cells, bricks, dots, strokes, leaves, fractals, smooth)


def _positions(size: int) -> tuple[Floats, Floats]:
    """Y and x of every pixel, as shares of the side."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / np.float32(size)
    return y, x


def _frequencies(size: int) -> tuple[Floats, Floats]:
    """Cycles per side along x and y, of a real transform."""
    fx, fy = np.meshgrid(np.fft.rfftfreq(size, 1 / size), np.fft.fftfreq(size, 1 / size))
    return fx.astype(np.float32), fy.astype(np.float32)


def _filtered(rng: Generator, size: int, gain: npt.NDArray[np.floating]) -> Floats:
    """White noise with a gain for every frequency."""
    noise = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    return np.asarray(np.fft.irfft2(noise * gain, (size, size)), np.float32)
