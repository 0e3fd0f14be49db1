"""Sessions of onnxruntime that read torch's tensors where they are, and write into others there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor


class BoundSession:
    """A session as a function of a batch of tensors on one device.

    May be called from several threads; on a GPU they take turns, as the session has one stream.

    Args:
        session: onnxruntime's; its inputs and outputs are float32, B x .., with a free B.
        shapes: of the outputs, but for B.
        device: where the session computes; inputs that are elsewhere are copied there.
        most: images that the session takes at a time; larger batches go in parts. None: any number.
        stream: the GPU's stream that the session was made with. It waits for what torch has been told to do, and torch
            for it; the host waits for neither.
        options: of a run, as onnxruntime has them.
    """

    def __init__(
        self,
        session: Any,
        shapes: Sequence[Sequence[int]],
        device: torch.device,
        most: int | None = None,
        stream: Any = None,
        options: Any = None,
    ) -> None:
        self._session, self._shapes, self._device, self._most = session, shapes, device, most
        self._stream, self._options = stream, options
        self._inputs = [one.name for one in session.get_inputs()]
        self._outputs = [one.name for one in session.get_outputs()]
        self._lock = Lock()

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Returns the session's outputs (B x ..) on its device.

        Raises:
            RuntimeError: what onnxruntime raises.
        """
        given = [one.to(self._device, torch.float32).contiguous() for one in inputs]
        count = len(given[0])
        found = [torch.empty((count, *shape), dtype=torch.float32, device=self._device) for shape in self._shapes]
        step = self._most or max(1, count)
        with self._in_order():
            for start in range(0, count, step):
                self._run([one[start : start + step] for one in given], [one[start : start + step] for one in found])
        return found

    def _run(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Computes into the outputs; both are contiguous."""
        binding = self._session.io_binding()
        for bind, names, tensors in (
            (binding.bind_input, self._inputs, inputs),
            (binding.bind_output, self._outputs, outputs),
        ):
            for name, one in zip(names, tensors, strict=True):
                bind(name, self._device.type, self._device.index or 0, np.float32, tuple(one.shape), one.data_ptr())
        try:
            self._session.run_with_iobinding(binding, self._options)
        except Exception as error:  # onnxruntime's own are of no common kind
            raise RuntimeError(f"onnxruntime: {error}") from error

    @contextmanager
    def _in_order(self) -> Iterator[None]:
        """Work inside comes after what torch's stream was told before, and before what it is told later."""
        if self._stream is None:
            yield
            return
        with self._lock:
            torchs = torch.cuda.current_stream(self._device)
            self._stream.wait_stream(torchs)
            try:
                yield
            finally:
                torchs.wait_stream(self._stream)
