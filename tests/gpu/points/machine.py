"""Versions, the decoder's library, and the two limits of a chip: bytes and operations per second."""

from __future__ import annotations

import ctypes
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import torch
from torch.nn import functional as F

from msflow_stream import machine
from tests.gpu.report import At

PACKAGES = ("torch", "torchvision", "triton", "timm", "numpy", "av", "FrEIA", "pydantic", "onnxruntime")
PEAKS = {"IEEE float32": torch.float32, "TF32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check(at: At) -> None:
    """Checks the machine."""
    with at.case("versions") as case:
        case.holds(True, f"Python {platform.python_version()}, " + ", ".join(map(_version, PACKAGES)))
    if at.needs_cuda("GPU", "libnvcuvid"):
        _about_gpu(at)
    with at.case("bandwidth") as case:
        case.measured(_bandwidth(at), "a copy reads and writes", " GB/s")
    speeds = {}
    for name in PEAKS if at.cuda else ("IEEE float32", "bf16"):
        for kind in ("product", "convolution"):
            with at.case(f"peak of {name}") as case:
                found = _speed(at, name, kind)
                speeds[name] = max(found, speeds.get(name, 0))
                case.measured(found, f"a {kind} does", " TFLOP/s")
    if at.cuda:
        with at.case("float32 is IEEE's") as case:
            case.above(speeds["TF32"] / speeds["IEEE float32"], 1.5, "TF32 is faster by", "x")
        with at.case("float32 rounds as IEEE's") as case:
            case.below(_convolution_error(at), 1e-5, "error of a convolution beside float64")


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _about_gpu(at: At) -> None:
    facts = torch.cuda.get_device_properties(at.device)
    with at.case("GPU") as case:
        text = f"{facts.name}, compute capability {facts.major}.{facts.minor}, {facts.total_memory / 2**30:.0f} GiB"
        case.holds(True, f"{text}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}")
    with at.case("bfloat16") as case:
        case.holds(machine.has_bf16(at.device) == (facts.major >= 8), "taken for there where the GPU computes in it")
    with at.case("libnvcuvid") as case:
        ctypes.CDLL("libnvcuvid.so.1")
        case.holds(True, "the driver's decoder can be loaded")


def _bandwidth(at: At) -> float:
    """GB/s."""
    size = 2**30 if at.cuda else 2**26
    source = torch.zeros(size, dtype=torch.uint8, device=at.device)
    target = torch.empty_like(source)
    return 2 * size / _seconds(at, lambda: target.copy_(source)) / 1e9


def _speed(at: At, name: str, kind: str) -> float:
    """TFLOP/s."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "TF32"
    dtype, (side, channels, batch, rows) = PEAKS[name], (8192, 512, 32, 64) if at.cuda else (768, 64, 2, 48)
    try:
        if kind == "product":
            a, b = (torch.randn(side, side, device=at.device).to(dtype) for _ in range(2))
            return 2 * side**3 / _seconds(at, lambda: a @ b) / 1e12
        last = torch.channels_last
        x = torch.randn(batch, channels, rows, rows, device=at.device).to(dtype).contiguous(memory_format=last)
        weight = torch.randn(channels, channels, 3, 3, device=at.device).to(dtype).contiguous(memory_format=last)
        work = 2 * batch * rows**2 * channels**2 * 9
        return work / _seconds(at, lambda: F.conv2d(x, weight, padding=1)) / 1e12
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def _seconds(at: At, work: object) -> float:
    """The median of a few times."""
    taken = []
    for _ in range(8 if at.cuda else 4):
        at.synchronise()
        start = time.perf_counter()
        work()  # type: ignore[operator]
        at.synchronise()
        taken.append(time.perf_counter() - start)
    return median(taken[2:])


def _convolution_error(at: At) -> float:
    """The largest difference of a convolution on the device to float64's, beside the largest value."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(*s, generator=generator) for s in ((2, 256, 32, 32), (256, 256, 3, 3)))
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    found = F.conv2d(x.to(at.device), weight.to(at.device), padding=1).cpu().double()
    return float((found - expected).abs().max() / expected.abs().max())
