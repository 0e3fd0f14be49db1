"""A cluster of three nodes on this machine, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.pipelines.conftest import prompt_scenes as prompt_scenes
from tests.pipelines.conftest import workplace as workplace
from tests.support.ray_cluster import ray_cluster


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Any]:
    with ray_cluster() as cluster:
        yield cluster
