"""An operation that PyTorch knows by name: it can be compiled, exported and recorded, and has a kernel per device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])
log = logging.getLogger(__name__)
LAUNCHERS = "msflow_stream.model.fused.kernels.cuda"
TYPES = {  # as annotations have them
    "Tensor": "Tensor",
    "Tensor | None": "Tensor?",
    "Sequence[int]": "SymInt[]",
    "torch.dtype": "ScalarType",
    "int": "SymInt",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "None": "()",
}


def operation(shape: Callable[..., Any] | None = None, changes: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Registers a function as `msflow::name`: itself on a CPU, the launcher of the same name on a GPU.

    Args:
        shape: returns an empty tensor like the function's result; None: it has none.
        changes: names of arguments that are changed in place.
    """

    def register(plain: Function) -> Function:
        name = plain.__name__
        made: Any = torch.library.custom_op(
            f"msflow::{name}", plain, mutates_args=changes, device_types="cpu", schema=_schema(plain, changes)
        )
        made.register_kernel("cuda")(lambda *arguments: _launcher(name, plain, arguments[0].device)(*arguments))
        made.register_fake(shape or (lambda *arguments: None))
        made.__doc__ = plain.__doc__
        registered: Function = made
        return registered

    return register


def _schema(plain: Callable[..., Any], changes: Sequence[str]) -> str:
    """The types of a function's arguments and of its result, as PyTorch writes them."""
    kinds = {name: TYPES[kind] for name, kind in plain.__annotations__.items()}
    result = kinds.pop("return")
    kinds |= {name: f"Tensor(a{place}!)" for place, name in enumerate(changes)}
    return f"({', '.join(f'{kind} {name}' for name, kind in kinds.items())}) -> {result}"


def _launcher(name: str, plain: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    module = _launchers(device)
    launcher: Callable[..., Any] = plain if module is None else getattr(module, name)
    return launcher


@cache
def _launchers(device: torch.device) -> ModuleType | None:
    """The kernels, if there is a Triton that can compile one: it needs a C compiler and a folder to write to."""
    try:
        module = import_module(LAUNCHERS)
        module.probe(device)
    except Exception as error:  # whatever a compiler fails with
        log.warning("no kernels by Triton on %s, networks take longer: %s: %s", device, type(error).__name__, error)
        return None
    return module
