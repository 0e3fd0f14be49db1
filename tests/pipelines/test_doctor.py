"""`doctor` says what is missing or slow, and how to mend it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from pipelines import doctor
from tests.support.command import Command


def looked_at(command: Command, *options: str) -> dict[str, dict[str, str]]:
    """What it says of each thing."""
    done = command("doctor", "--format", "json", *options)
    return {one["name"]: one for one in json.loads(done.out)}


def test_a_machine_that_runs_the_tests_lacks_nothing(command: Command, tmp_path: Path) -> None:
    found = looked_at(command, "--out", str(tmp_path))
    assert not [one for one in found.values() if one["state"] == "missing"]
    assert {"Python", "decoders", "encoder", "weights", "processor", "disk of the output", "clock"} <= found.keys()
    assert all(one["mend"] for one in found.values() if one["state"] != "good")


def test_a_port_that_another_program_has_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {port: "something"})
        (finding,) = doctor._ports()
    assert finding.state == "slow"
    assert "HOST:PORT" in finding.mend


def test_damaged_weights_are_missing_and_the_exit_code_says_so(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / "weights.bin"
    damaged.write_bytes(b"half of it")
    monkeypatch.setattr(doctor, "weights_file", lambda: damaged)
    done = command("doctor", "--out", str(tmp_path))
    assert done.code == 1
    assert "damaged" in done.out
    assert "pip install" in done.out


def test_nothing_is_left_where_a_disk_was_tried(tmp_path: Path) -> None:
    assert doctor.written_per_second(tmp_path, 2**20) > 0
    assert not list(tmp_path.iterdir())
