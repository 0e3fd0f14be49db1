"""The kernels of a GPU compute what the plain operations say, and compile for GPUs that are not here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, empty

from msflow_stream.model.fused import kernels as plain
from msflow_stream.model.fused.kernels import operation

PIXELS, CHANNELS, HALF = 4096, 256, 128


def test_each_kernel_computes_what_its_operation_says() -> None:
    pytest.importorskip("triton")
    script = [sys.executable, "-m", "tests.model.fused.interpreted_kernels"]
    done = subprocess.run(script, capture_output=True, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    assert done.returncode == 0, done.stderr
    steps: dict[str, float] = json.loads(done.stdout)
    assert {name.split()[0] for name in steps} == {name.rstrip("_") for name in plain.__all__ if name.islower()}
    assert max(steps.values()) < 4, steps  # last digits of the largest value


class Launches:
    """In the place of a kernel: keeps what it is launched with."""

    def __init__(self, kernel: Any, kept: list[tuple[Any, tuple[Any, ...]]]) -> None:
        self._kernel, self._kept = kernel, kept

    def __getitem__(self, grid: tuple[int]) -> Any:
        return lambda *arguments: self._kept.append((self._kernel, arguments))


def launches(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, tuple[Any, ...]]]:
    """The launches of every kernel, as a wide network has them."""
    from msflow_stream.model.fused.kernels.cuda import flow, fusion, images

    kept: list[tuple[Any, tuple[Any, ...]]] = []
    for module in (flow, fusion, images):
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            monkeypatch.setattr(module, name, Launches(getattr(module, name), kept))
    stored, columns = empty(PIXELS, CHANNELS), empty(HALF, dtype=torch.int32)
    flow.gather(stored, columns, None, dtype)
    flow.gather(empty(PIXELS, CHANNELS, dtype=dtype), empty(CHANNELS, dtype=torch.int32), empty(CHANNELS), stored.dtype)
    flow.norm_relu_(empty(PIXELS, 192, dtype=dtype), empty(PIXELS, 192), empty(192), empty(192), 1e-5)
    flow.norm_relu_(empty(PIXELS, 576, dtype=dtype), empty(1, 576), None, None, 0.0)
    for arctangent in (False, True):
        flow.couple_(stored, empty(PIXELS, CHANNELS, dtype=dtype), empty(CHANNELS), columns, 1.9, arctangent)
    flow.log_likelihood(stored, empty(CHANNELS), 1e6)
    pixels, small = empty(PIXELS, HALF, dtype=dtype), empty(PIXELS // 16, 896, dtype=dtype)
    fusion.pool_(small, HALF, pixels, (64, 64), (16, 16))
    fusion.add_crossed_(pixels, small, empty(896), HALF, (64, 64), (16, 16))
    x = empty(2, 144, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
    for activation in ("relu", "hardswish"):
        images.finish(x, empty(144), x if activation == "relu" else None, activation, (1, 1), dtype, 0)
    images.finish(empty(2, 3, 512, 512), None, None, "none", (3, 3), dtype, 8)
    return kept


@pytest.mark.parametrize(("capability", "dtype"), [(90, torch.bfloat16), (75, torch.float16)])
def test_each_kernel_compiles_for_an_old_and_a_new_gpu(
    capability: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    triton = pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    target = pytest.importorskip("triton.backends.compiler").GPUTarget("cuda", capability, 32)
    compiled = set()
    for kernel, arguments in launches(dtype, monkeypatch):
        signature = {
            parameter.name: kind(parameter, given) for parameter, given in zip(kernel.params, arguments, strict=True)
        }
        constants = {(n,): given for n, given in enumerate(arguments) if kernel.params[n].is_constexpr}
        aligned = {(n,): [["tt.divisibility", 16]] for n, given in enumerate(arguments) if isinstance(given, Tensor)}
        source = triton.compiler.ASTSource(kernel, signature, constants, aligned)
        assert "ld.global" in triton.compile(source, target=target).asm["ptx"]
        compiled.add(kernel.__name__.removesuffix("_kernel"))
    assert compiled == {name.rstrip("_") for name in plain.__all__ if name.islower()}


def kind(parameter: Any, given: Any) -> str:
    """The type of a kernel's argument, as Triton writes it."""
    if parameter.is_constexpr:
        return "constexpr"
    if isinstance(given, Tensor):
        size = 8 * given.dtype.itemsize
        return f"*{'bf' if given.dtype is torch.bfloat16 else 'fp' if given.is_floating_point() else 'i'}{size}"
    return "i32" if isinstance(given, int) else "fp32"


def calls() -> Iterator[tuple[str, tuple[Any, ...]]]:
    stored, columns = torch.randn(6, 8), torch.tensor([5, 0, 3], dtype=torch.int32)
    yield "gather", (stored, columns, torch.randn(3), torch.bfloat16)
    yield "norm_relu_", (stored.bfloat16(), torch.randn(3, 8), torch.randn(8), torch.randn(8), 1e-5)
    yield "couple_", (stored, torch.randn(6, 6), torch.randn(6), columns, 1.9, False)
    yield "log_likelihood", (stored, torch.randn(8), 1e6)
    yield "pool_", (torch.randn(2, 9), 1, torch.randn(12, 8), (2, 3), (1, 1))
    yield "add_crossed_", (torch.randn(12, 8), torch.randn(2, 9), torch.randn(9), 1, (2, 3), (1, 1))
    images = torch.randn(2, 3, 4, 5)
    yield "finish", (images, torch.randn(3), images, "relu", (1, 2), torch.bfloat16, 8)


def test_pytorch_knows_each_operation_without_its_values() -> None:
    for name, arguments in calls():
        torch.library.opcheck(getattr(plain, name), arguments, test_utils=("test_schema", "test_faketensor"))


def test_what_is_no_number_stays_so() -> None:
    broken = torch.full((2, 3, 4, 4), torch.nan)
    for activation in plain.ACTIVATIONS:
        assert plain.finish(broken, None, None, activation, (1, 1), torch.float32, 0).isnan().all()
    assert plain.log_likelihood(broken[0, :, 0], torch.ones(4), 1e6).isnan().all()


def test_without_a_compiler_the_plain_operations_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(operation, "import_module", fail)
    assert operation._launchers.__wrapped__(torch.device("cuda:0")) is None
    assert "Failed to find C compiler" in caplog.text
