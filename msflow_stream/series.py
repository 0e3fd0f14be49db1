"""Grouping an iterable into batches (itertools.batched, which Python 3.11 lacks)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter; the source is closed with the batches."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
