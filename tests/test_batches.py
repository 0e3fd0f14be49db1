from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.series import batched


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_batches_are_the_slices_of_the_items(items: list[int], size: int) -> None:
    assert list(batched(items, size)) == [items[i : i + size] for i in range(0, len(items), size)]


def test_no_item_is_taken_before_its_batch_is_wanted() -> None:
    taken = []
    batches = batched((taken.append(i) or i for i in range(100)), 3)  # type: ignore[func-returns-value]
    assert taken == []
    assert next(batches) == [0, 1, 2]
    assert taken == [0, 1, 2]


def test_a_source_that_nobody_else_holds_is_closed_with_the_batches() -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    batches = batched(source(), 2)
    next(batches)
    assert not closed
    del batches
    assert closed


def test_an_error_of_the_source_comes_through() -> None:
    batches = batched((1 // (2 - i) for i in range(5)), 2)
    assert next(batches) == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(batches)
