"""A server of object storage in a process of its own, as the cloud has them, with one bucket."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.watching import until

BUCKET = "footage"


@contextmanager
def object_storage(cache: Path) -> Iterator[Any]:
    """Runs a server that commands find by their environment; yields its files as fsspec has them."""
    pytest.importorskip("moto")
    s3fs = pytest.importorskip("s3fs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: _answers(port), "no server of object storage")
        with pytest.MonkeyPatch.context() as patch:
            facts = {"ACCESS_KEY_ID": "tester", "SECRET_ACCESS_KEY": "hush-hush", "DEFAULT_REGION": "us-east-1"}
            for name, value in {**facts, "ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
                patch.setenv(f"AWS_{name}", value)
            patch.setenv("XDG_CACHE_HOME", str(cache))
            s3fs.S3FileSystem.clear_instance_cache()
            files = s3fs.S3FileSystem(use_listings_cache=False)
            files.mkdir(BUCKET)
            yield files
            s3fs.S3FileSystem.clear_instance_cache()
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
