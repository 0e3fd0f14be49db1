"""A GPU that is not there: tensors "on cuda:0" have shapes, types and devices but no values; what is done is noted.

    with FakeGpu() as gpu:
        graph = fake_cuda(LikelihoodGraph(FusedFlow(scene.flow, sizes)))
        graph(*(torch.empty(2, 8, *size, device=CUDA) for size in sizes))
    assert gpu.synchronisations == []

Operations on tensors of two devices, or of types that do not go together, fail as they do on a GPU. What the host would
have to wait for is noted, and answered with a value that is made up. Streams are there in name only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from msflow_stream.scoring import transfers
from msflow_stream.scoring.engines import recording

CUDA = torch.device("cuda:0")
aten = torch.ops.aten
Module = TypeVar("Module", bound=nn.Module)

WAITS: dict[Any, Callable[[Tensor], object]] = {  # for what only the GPU knows, and the answer here
    aten._local_scalar_dense.default: lambda one: 1.0 if one.is_floating_point() else True,
    aten.nonzero.default: lambda one: one.new_zeros((1, one.ndim), dtype=torch.int64),
    aten.is_nonzero.default: lambda one: True,
    aten.equal.default: lambda one, other: True,
    aten.masked_select.default: lambda one, mask: one.new_zeros(1),
}
COPIES = aten._to_copy.default, aten.copy_.default
PADDINGS = aten.reflection_pad2d.default, aten.replication_pad2d.default  # CUDA has them in NCHW only
FREE = {"_unsafe_view", "empty", "empty_strided", "new_empty", "new_empty_strided", "empty_like", "lift_fresh"}
OVERWRITE = {"copy_", "fill_", "zero_"}  # without reading what is there


def fake_cuda(module: Module, device: torch.device = CUDA) -> Module:
    """Returns the module with all its parameters and buffers replaced by fake ones on a GPU; inside a `FakeGpu` only.

    What else it holds, such as tensors in lists, stays where it is, as `Module.to` leaves it.
    """
    made: dict[int, Tensor] = {}

    def fake(one: Tensor) -> Tensor:
        if id(one) not in made:
            twin = torch.empty_strided(one.size(), one.stride(), dtype=one.dtype, device=device)
            made[id(one)] = nn.Parameter(twin, one.requires_grad) if isinstance(one, nn.Parameter) else twin
        return made[id(one)]

    for part in module.modules():
        held: Any
        for held in (part._parameters, part._buffers):
            held.update({name: fake(one) for name, one in held.items() if one is not None})
    return module


class FakeGpu(TorchDispatchMode):
    """The fake GPU, while it is entered, and the record of what was done on it.

    Attributes:
        synchronisations: operations that make the host wait for the GPU, copies of pageable memory among them.
        waits: how often the host waited for an event or a stream, which has to be so once to read results.
        downloads, uploads: bytes of each copy to the host, and to the GPU.
        layout_copies: operations that do nothing but put the values of a tensor in another order.
        traffic: bytes that operations on the GPU read and write.
        calls: how often each operation was done on the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pinned: dict[int, object] = {}  # storages, which are kept: an address is not used twice
        self._fake, self._entered, self._patches = FakeTensorMode(allow_non_fake_inputs=True), 0, ExitStack()
        self.begin()

    def begin(self) -> None:
        """Counts from nought."""
        self.synchronisations: list[str] = []
        self.waits = 0
        self.downloads: list[int] = []
        self.uploads: list[int] = []
        self.layout_copies: list[str] = []
        self.traffic = 0
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> FakeGpu:
        if not self._entered:
            for name, stand_in in self._cuda().items():
                self._patches.enter_context(patch.object(torch.cuda, name, stand_in))
            self._patches.enter_context(patch.object(Tensor, "record_stream", lambda *_: None))
            for kept in (transfers._streams, recording._ended):
                self._patches.enter_context(patch.dict(kept, clear=True))
            self._fake.__enter__()
        self._entered += 1
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._entered -= 1
        if not self._entered:
            self._fake.__exit__(kind, error, trace)
            self._patches.close()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is aten.is_pinned.default:
            return self._is_pinned(args[0])
        if func is aten._pin_memory.default:
            return self._pin(args[0])
        if func not in WAITS and func is not torch.ops.prim.device.default:
            with self:
                found = func.decompose(*args, **kwargs)  # in inference mode, operations come whole
            if found is not NotImplemented:
                return found
        pinned = kwargs.pop("pin_memory", None)
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if any(one.is_cuda for one in tensors) and (func in WAITS or _masks(func, args)):
            self.synchronisations.append(str(func))
            return WAITS[func](*args) if func in WAITS else func(args[0], _chosen(args[1]), *args[2:], **kwargs)
        found = func(*args, **kwargs)
        if func in PADDINGS and found.is_cuda:
            found = found.new_empty(found.shape)
        if func is aten.convolution.default and found.is_cuda and found.ndim == 4:
            found = found.new_empty(found.shape).to(memory_format=_order(args[0], args[1]))
        self._note(func, args, kwargs, tensors, found)
        return self._pin(found) if pinned else found

    def _cuda(self) -> dict[str, Any]:
        """What is asked of `torch.cuda` about streams, events and memory."""

        def wait() -> None:
            self.waits += 1

        def event(*_: Any, **__: Any) -> Any:
            return SimpleNamespace(synchronize=wait, record=lambda *_: None, wait=lambda *_: None, query=lambda: True)

        def stream(*_: Any, **__: Any) -> Any:
            return SimpleNamespace(
                synchronize=wait, wait_stream=lambda _: None, wait_event=lambda _: None, record_event=event
            )

        none = {name: lambda *_: 0 for name in ("memory_reserved", "memory_allocated", "empty_cache")}
        within = {"stream": lambda _: nullcontext(), "device": lambda _: nullcontext()}
        synchronize = {"synchronize": lambda *_: wait()}
        room = {"mem_get_info": lambda *_: (2**37, 2**37)}
        return {"Stream": stream, "current_stream": stream, "Event": event, **none, **within, **synchronize, **room}

    def _pin(self, one: Tensor) -> Tensor:
        self._pinned[one.untyped_storage()._cdata] = one.untyped_storage()
        return one

    def _is_pinned(self, one: Tensor) -> bool:
        return one.untyped_storage()._cdata in self._pinned

    def _note(self, func: Any, args: Any, kwargs: dict[str, Any], tensors: Sequence[Tensor], found: Any) -> None:
        results = [one for one in tree_leaves(found) if isinstance(one, Tensor)]
        if not any(one.is_cuda for one in (*tensors, *results)):
            return
        self.calls[str(func)] += 1
        if func in COPIES and len({one.device for one in (*tensors, *results)}) > 1:
            self._note_transfer(func, args, kwargs, found)
        elif not _is_free(func):
            read = _read(func, args, tensors)
            self.traffic += sum(_bytes(one) for one in (*read, *results) if one.is_cuda)
            if _reorders(func, args, found):
                self.layout_copies.append(str(func))

    def _note_transfer(self, func: Any, args: Any, kwargs: dict[str, Any], found: Tensor) -> None:
        source = args[1] if func is aten.copy_.default else args[0]
        host = source if found.is_cuda else found
        asked = args[2] if func is aten.copy_.default and len(args) > 2 else kwargs.get("non_blocking", False)
        pinned = self._is_pinned(host) or (asked and host is found and func is not aten.copy_.default)
        (self.uploads if found.is_cuda else self.downloads).append(_bytes(source))
        if not (asked and pinned):
            self.synchronisations.append(f"{func} {source.device} to {found.device}")


def _masks(func: Any, args: Any) -> bool:
    """Whether a mask chooses the elements: how many there are, only the GPU knows."""
    if func._schema.name not in ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"):
        return False
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in args[1])


def _chosen(indices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The indices with one made-up element in the place of those that a mask chooses."""
    found: list[Tensor | None] = []
    for one in indices:
        mask = one is not None and one.dtype in (torch.bool, torch.uint8)
        found += [one.new_zeros(1, dtype=torch.int64)] * one.ndim if mask and one is not None else [one]
    return found


def _is_free(func: Any) -> bool:
    """Whether an operation makes nothing but a view or room."""
    views = any(one.alias_info is not None and not one.alias_info.is_write for one in func._schema.returns)
    return views or func._schema.name.removeprefix("aten::") in FREE


def _read(func: Any, args: Any, tensors: Sequence[Tensor]) -> list[Tensor]:
    written = func._schema.name.removeprefix("aten::") in OVERWRITE
    return [one for one in tensors if not (written and one is args[0])]


def _bytes(one: Tensor) -> int:
    """Bytes that lie behind a tensor: what is expanded is there once."""
    return min(one.numel() * one.element_size(), one.untyped_storage().nbytes())


def _reorders(func: Any, args: Any, found: Any) -> bool:
    name = func._schema.name.removeprefix("aten::")
    if name == "convolution":
        return not args[0].is_contiguous(memory_format=_order(args[0], args[1])) and not _is_small(args[0])
    if func in PADDINGS:
        return not args[0].is_contiguous()
    if name not in ("clone", "_to_copy", "copy_"):
        return False
    source = args[1] if name == "copy_" else args[0]
    same = source.dtype == found.dtype and source.shape == found.shape and 0 not in source.stride()
    return same and _steps(source) != _steps(found)


def _order(*tensors: Tensor) -> torch.memory_format:
    """The order in which cuDNN works: channels-last if the images or the weights are."""
    last = any(
        one.ndim == 4 and one.is_contiguous(memory_format=torch.channels_last)
        for one in tensors
        if not one.is_contiguous()
    )
    return torch.channels_last if last else torch.contiguous_format


def _is_small(images: Tensor) -> bool:
    return images.ndim != 4 or images.shape[1] == 1 or images.shape[2:].numel() == 1


def _steps(one: Tensor) -> list[int]:
    return [step for step, size in zip(one.stride(), one.shape, strict=True) if size > 1]
