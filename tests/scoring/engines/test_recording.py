"""Recordings of functions: a few sizes of batches, on the right device, one at a time, and what cannot be recorded."""

from __future__ import annotations

import gc
import logging
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from msflow_stream.scoring.engines import recording
from msflow_stream.scoring.engines.base import Run
from msflow_stream.scoring.engines.recording import SIZES, RecordedRun, Recording, RecordingError, record_cuda_graph
from tests.support.recorder import Recorder


def squares(inputs: Sequence[Tensor]) -> list[Tensor]:
    return [one**2 for one in inputs]


def numbers(count: int, start: float = 1.0) -> Tensor:
    return torch.arange(count * 3, dtype=torch.float32).view(count, 3) + start


def test_a_batch_is_filled_up_to_the_next_size_and_each_size_is_recorded_once() -> None:
    recorder = Recorder()
    run = RecordedRun(squares, recorder)
    given = [numbers(count, start) for start, count in enumerate((3, 1, 4, 3, 2, 5))]
    found = [run([one])[0] for one in given]  # all kept: none may be overwritten by the next
    for mine, one in zip(found, given, strict=True):
        assert torch.equal(mine, one**2)
    assert recorder.recorded == [(4, 3), (1, 3), (2, 3), (8, 3)]
    assert recorder.replayed == len(given)


@pytest.mark.parametrize(("count", "expected"), [(8, [4]), (11, [4]), (9, [4, 1]), (6, [4, 2])])
def test_what_is_larger_than_the_largest_goes_in_parts(count: int, expected: list[int]) -> None:
    recorder = Recorder()
    (found,) = RecordedRun(squares, recorder, sizes=(1, 2, 4))([numbers(count)])
    assert torch.equal(found, numbers(count) ** 2)
    assert [shape[0] for shape in recorder.recorded] == expected


def test_all_sizes_up_to_the_largest_make_few_recordings() -> None:
    recorder = Recorder()
    run = RecordedRun(squares, recorder)
    for count in range(1, 2 * SIZES[-1] + 3):
        assert torch.equal(run([numbers(count)])[0], numbers(count) ** 2)
    assert sorted(shape[0] for shape in recorder.recorded) == list(SIZES)
    assert run.nbytes == len(SIZES) * recorder.nbytes


def test_what_is_given_is_not_changed() -> None:
    run, given = RecordedRun(squares, Recorder()), torch.ones(2)
    run([given])
    run([given * 5])
    assert torch.equal(given, torch.ones(2))


def test_a_batch_keeps_the_order_of_its_channels_in_memory() -> None:
    seen: list[bool] = []

    def note(inputs: Sequence[Tensor]) -> list[Tensor]:
        seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        return squares(inputs)

    RecordedRun(note, Recorder())([torch.rand(3, 5, 4, 4).to(memory_format=torch.channels_last)])
    assert all(seen)


@pytest.mark.parametrize("error", [RuntimeError("capture failed\nand more"), torch.OutOfMemoryError("none left")])
def test_what_cannot_be_recorded_runs_as_it_is_and_says_so_once(
    error: RuntimeError, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(run: Run, inputs: Sequence[Tensor]) -> Recording:
        raise error

    run = RecordedRun(squares, fail)
    for start in range(3):
        assert torch.equal(run([numbers(3, start)])[0], numbers(3, start) ** 2)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        f"batches of 4 run without a CUDA graph, which is slower: {str(error).splitlines()[0]}"
    )


def test_with_little_memory_nothing_more_is_recorded_until_there_is_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    run = RecordedRun(squares, recorder)
    with monkeypatch.context() as little:
        little.setattr(recording, "_has_room", lambda device: False)
        for _ in range(2):
            assert torch.equal(run([numbers(2)])[0], numbers(2) ** 2)
    assert recorder.recorded == []
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["the GPU's memory is nearly full"]
    assert torch.equal(run([numbers(2)])[0], numbers(2) ** 2)
    assert recorder.recorded == [(2, 3)]


def test_what_is_let_go_is_recorded_anew() -> None:
    recorder = Recorder()
    run = RecordedRun(squares, recorder)
    run([numbers(2)])
    run.release()
    assert run.nbytes == 0
    assert torch.equal(run([numbers(2)])[0], numbers(2) ** 2)
    assert recorder.recorded == [(2, 3), (2, 3)]


def test_functions_of_a_process_record_one_at_a_time_and_replay_in_turn() -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def slow(inputs: Sequence[Tensor]) -> list[Tensor]:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1
        return squares(inputs)

    runs = [RecordedRun(slow, Recorder()) for _ in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for count in (1, 2, 3, 1):
            given = numbers(count, number)
            if not torch.equal(runs[number]([given])[0], given**2):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert wrong == []


class FakeCuda:
    """What `record_cuda_graph` asks of torch.cuda, noted in order: no GPU is needed for what it has to be asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[Any] = []
        self.empty = self.broken = False
        self.handles = 0
        self.streams: list[str] = []
        for name in ("device", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(recording, "stream_of", lambda device, work: self._stream(f"{work} on {device}"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: self._stream(f"current of {device}"))
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: FakeGraph(self))
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", self._handle)
        for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):
            monkeypatch.setattr(torch._C, name, lambda *given, name=name: self.said.append((name, *given)))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
        monkeypatch.setattr(recording, "_pools", {})
        monkeypatch.setattr(recording, "_agree", lambda found, expected: True)

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        self.said.append(("device", device))
        yield
        self.said.append(("device left", device))

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.streams.append(stream.name)
        try:
            yield
        finally:
            self.streams.pop()

    def _stream(self, name: str) -> Any:
        nothing = SimpleNamespace(name=name)
        nothing.wait_stream = nothing.synchronize = lambda *_: None
        return nothing

    def _handle(self) -> tuple[int, int]:
        self.handles += 1
        return 0, self.handles


class FakeGraph:
    """A torch.cuda.CUDAGraph that notes what is asked of it."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def capture_begin(self, pool: tuple[int, int], capture_error_mode: str) -> None:
        self._cuda.said.append(("begin", self._cuda.streams[-1], pool, capture_error_mode))

    def capture_end(self) -> None:
        self._cuda.said.append("end")
        if self._cuda.broken:
            raise RuntimeError("operation failed due to a previous error during capture")
        if self._cuda.empty:
            warnings.warn("The CUDA Graph is empty. This usually means ...", stacklevel=1)

    def pool(self) -> tuple[int, int]:
        if self._cuda.broken:
            raise RuntimeError("without a preceding successful capture")
        return 0, 1

    def replay(self) -> None:
        self._cuda.said.append("replay")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    return FakeCuda(monkeypatch)


def on_second_gpu(run: Run) -> Recording:
    with FakeTensorMode():
        return record_cuda_graph(run, [torch.empty(2, 3, device="cuda:1")])


def test_a_recording_is_made_on_the_device_of_its_inputs(cuda: FakeCuda) -> None:
    made = on_second_gpu(squares)
    device = torch.device("cuda:1")
    assert cuda.said == [
        ("device", device),
        ("begin", "recording on cuda:1", (0, 1), "thread_local"),
        "end",
        "replay",
        ("device left", device),
    ]
    assert made.outputs[0].device == device
    assert made.nbytes == 2 * 2 * 3 * 4
    on_second_gpu(squares)
    assert [one for one in cuda.said if one[0] == "begin"][1] == cuda.said[1]  # the same pool of memory


def test_when_all_recordings_are_gone_the_next_gets_memory_of_a_new_handle(cuda: FakeCuda) -> None:
    on_second_gpu(squares)  # not kept
    gc.collect()
    on_second_gpu(squares)
    assert [one[2] for one in cuda.said if one[0] == "begin"] == [(0, 1), (0, 2)]


def test_after_an_end_that_fails_torch_can_free_memory_and_record_again(cuda: FakeCuda) -> None:
    cuda.broken = True
    with pytest.raises(RuntimeError, match="due to a previous error"):
        on_second_gpu(squares)
    assert cuda.said[-2:] == [("_cuda_endAllocateToPool", 1, (0, 1)), ("_cuda_releasePool", 1, (0, 1))]
    cuda.broken = False
    on_second_gpu(squares)
    assert [one[2] for one in cuda.said if one[0] == "begin"] == [(0, 1), (0, 2)]


def test_a_recording_of_nothing_is_an_error(cuda: FakeCuda) -> None:
    cuda.empty = True
    with pytest.raises(RecordingError, match="The CUDA Graph is empty"):
        on_second_gpu(squares)


def test_a_replay_that_gives_something_else_is_an_error(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_agree", lambda found, expected: False)
    with pytest.raises(RecordingError, match="a replay gives something else than what was recorded"):
        on_second_gpu(squares)


def test_a_failure_while_it_records_ends_the_recording_and_leaves_the_stream(cuda: FakeCuda) -> None:
    calls = 0

    def fail(inputs: Sequence[Tensor]) -> list[Tensor]:
        nonlocal calls
        calls += 1
        if calls > recording.WARM_UPS:
            raise RuntimeError("operation not permitted when stream is capturing")
        return squares(inputs)

    with pytest.raises(RuntimeError, match="not permitted"):
        on_second_gpu(fail)
    assert cuda.said[-1] == "end"
    assert cuda.streams == []


@pytest.mark.parametrize(
    ("found", "expected", "agrees"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0, 2.1], False),
        ([torch.nan, 2.0], [torch.nan, 2.0], True),
        ([torch.nan, 2.0], [1.0, 2.0], False),  # nothing was written there
        ([0.001, 2.0], [0.0, 2.0], True),
    ],
)
def test_outputs_agree_but_for_rounding(found: list[float], expected: list[float], agrees: bool) -> None:
    assert recording._agree(torch.tensor(found), torch.tensor(expected)) is agrees
