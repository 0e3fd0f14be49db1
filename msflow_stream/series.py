"""Grouping an iterable into batches (itertools.batched, which Python 3.11 lacks)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter; the source is closed with the batches."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def labelled_spans(labels: npt.ArrayLike, rate: float) -> list[tuple[float, float]]:
    """Spans (start, end) in seconds of consecutive nonzero labels, one label per frame at `rate` frames per second."""
    flags = np.concatenate([[0], np.asarray(labels) != 0, [0]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flags))
    return [(start / rate, end / rate) for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
