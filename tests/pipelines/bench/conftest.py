"""Processes that benches start to measure in, replaced by calls in this one."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import pytest


class _InProcess:
    """As multiprocessing's context and its pool: work and results are pickled, as on the way to a process and back."""

    def Pool(self, processes: int) -> _InProcess:
        return self

    def apply(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        work, arguments = pickle.loads(pickle.dumps((work, arguments)))
        return pickle.loads(pickle.dumps(work(*arguments)))

    def __enter__(self) -> _InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Benches measure in this process: its peak is not theirs alone, but nothing has to be imported anew."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: _InProcess())
    monkeypatch.setattr("pipelines.bench.scale.settle_memory", lambda: None)  # it is for good
