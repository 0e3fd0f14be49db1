"""The feature pyramid for inference: batch norms folded into the convolutions before them."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from msflow_stream.model.pyramid import Pyramid

POINTWISE = nn.Identity, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU  # activations of a value by itself
TRACING = Lock()  # of what torch changes for the whole process, and back
log = logging.getLogger(__name__)


class FusedPyramid(nn.Module):
    """The same function as `pyramid` with its batch norms folded away; the pyramid itself is left as it is.

    Images (B 3 H W, normalised) become pooled features (B C_l H_l W_l), channels-last. A backbone that cannot be traced
    symbolically keeps its batch norms and is right all the same.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        super().__init__()
        self.channels = list(pyramid.channels)
        self.backbone = fold_batch_norms(copy.deepcopy(pyramid.backbone).eval())
        self.pool, self.pool_kernel = pyramid.pool, pyramid.pool_kernel
        self.to(memory_format=torch.channels_last)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the pooled features of every scale."""
        stages = self.backbone(images.contiguous(memory_format=torch.channels_last))
        return [self.pooled(features) for features in stages]  # type: ignore[misc]  # has what the method asks for

    pooled = Pyramid.pooled  # of `pool` and `pool_kernel`; the method of the pyramid itself would keep it in memory


class _Tracer(fx.Tracer):
    """Traces convolutions and batch norms as wholes, also timm's own kinds of them.

    Meanwhile torch has all calls of modules in this process come here: those of other threads go on as they are.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = get_ident()

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, nn.Conv2d | _BatchNorm) or bool(super().is_leaf_module(module, qualified_name))

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)


def fold_batch_norms(model: nn.Module, early: bool = True) -> nn.Module:
    """Returns `model` (in eval mode; it is used up) without the batch norms that follow a convolution of no other use.

    An activation that is part of a batch norm, as timm's are, stays.

    Args:
        model: any network.
        early: whether to reflect before what widens.
    """
    try:
        with TRACING:
            graph = _Tracer().trace(model)
    except Exception as error:  # whatever the model's Python does with a value that is none
        log.debug("%s cannot be traced, its batch norms stay", type(model).__name__, exc_info=error)
        return model
    modules: dict[str, nn.Module] = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for norm_name, convolution_name in _pairs(graph, modules, calls):
        convolution, norm = modules[convolution_name], modules[norm_name]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, _BatchNorm)
        _fold(convolution, norm)
        modules[norm_name] = getattr(norm, "act", None) or nn.Identity()
        model.set_submodule(norm_name, modules[norm_name])
    if early:
        _pad_early(graph, modules, calls)
    return fx.GraphModule(model, graph)


def _pairs(graph: fx.Graph, modules: dict[str, nn.Module], calls: Counter[Any]) -> list[tuple[str, str]]:
    """Names of batch norms and of the convolutions whose results they, and nothing else, take, however often."""
    befores: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        if isinstance(_module(node, modules), _BatchNorm):
            befores.setdefault(node.target, []).append(node.args[0])
    found = []
    for name, nodes in befores.items():
        names = {node.target for node in nodes}
        if len(names) > 1 or not isinstance(_module(nodes[0], modules), nn.Conv2d):
            continue
        alone = calls[nodes[0].target] == len(nodes) and all(len(node.users) == 1 for node in nodes)
        if alone and modules[name].running_mean is not None:
            found.append((name, str(nodes[0].target)))
    return found


def _pad_early(graph: fx.Graph, modules: dict[str, nn.Module], calls: Counter[Any]) -> None:
    """Reflects before a pointwise convolution that widens, not behind it: the same values, of fewer channels to copy.

    That is what the inverted residuals of mobile networks have before their depthwise convolutions.
    """
    for node in graph.nodes:
        reader, before = _module(node, modules), _widening(node, modules, calls)
        if before is None or not isinstance(reader, nn.Conv2d) or reader.padding_mode != "reflect":
            continue
        if isinstance(reader.padding, str) or not any(reader.padding):
            continue
        y, x = reader.padding
        with graph.inserting_before(before):
            before.args = (graph.call_function(F.pad, (before.args[0], (x, x, y, y), "reflect")),)
        reader.padding, reader.padding_mode = (0, 0), "zeros"


def _widening(node: fx.Node, modules: dict[str, nn.Module], calls: Counter[Any]) -> fx.Node | None:
    """The pointwise convolution that, through an activation, makes the input of `node` and nothing else."""
    act = node.args[0] if node.args else None
    if not isinstance(act, fx.Node) or not isinstance(_module(act, modules), POINTWISE):
        return None
    before = act.args[0]
    convolution = _module(before, modules)
    if not isinstance(before, fx.Node) or not isinstance(convolution, nn.Conv2d):
        return None
    pointwise = convolution.kernel_size == convolution.stride == (1, 1) and not any(convolution.padding)
    alone = calls[node.target] == 1 and all(len(one.users) == 1 == calls[one.target] for one in (act, before))
    return before if pointwise and alone and convolution.in_channels < convolution.out_channels else None


def _module(node: Any, modules: dict[str, nn.Module]) -> nn.Module | None:
    if isinstance(node, fx.Node) and node.op == "call_module":
        return modules[str(node.target)]
    return None


def _fold(convolution: nn.Conv2d, norm: _BatchNorm) -> None:
    bias = None if convolution.bias is None else convolution.bias.double()
    assert norm.running_mean is not None
    assert norm.running_var is not None
    statistics = norm.running_mean.double(), norm.running_var.double()
    affine = [None if value is None else value.double() for value in (norm.weight, norm.bias)]
    weight, folded = fuse_conv_bn_weights(convolution.weight.double(), bias, *statistics, norm.eps, *affine)  # type: ignore[arg-type]
    dtype = convolution.weight.dtype
    convolution.weight = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
    convolution.bias = nn.Parameter(folded.detach().to(dtype), requires_grad=False)
