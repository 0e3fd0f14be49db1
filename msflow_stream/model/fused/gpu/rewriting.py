"""A traced backbone whose convolutions leave what follows them to one kernel: bias, residual, activation, margin."""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from msflow_stream.model.fused.gpu.convolution import aligned, widened
from msflow_stream.model.fused.gpu.tails import Padding, Tail, take_padding
from msflow_stream.model.fused.kernels import Activation

MODULES: dict[type[nn.Module], Activation] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.SiLU: "silu",
    nn.Hardswish: "hardswish",
}
FUNCTIONS: dict[Any, Activation] = {
    F.relu: "relu",
    torch.relu: "relu",
    F.relu6: "relu6",
    F.silu: "silu",
    F.hardswish: "hardswish",
}
SUMS = {operator.add, operator.iadd, torch.add}
NOTHING = nn.Identity, nn.Dropout, nn.Dropout2d  # in eval mode


def merge_tails(model: fx.GraphModule, dtype: torch.dtype) -> None:
    """Puts a Tail in the place of what follows each convolution, and takes its bias and the margin of the next one.

    Images go in as they are, of any float type.

    Args:
        model: in eval mode; it is changed.
        dtype: of all results.
    """
    merger = _Merger(model, dtype)
    merger.enter()
    merger.merge()
    model.graph.eliminate_dead_code()
    model.graph.lint()
    model.recompile()
    model.delete_all_unused_submodules()


class _Merger:
    """The nodes of one graph, and the modules that they call."""

    def __init__(self, model: fx.GraphModule, dtype: torch.dtype) -> None:
        self.model, self.graph, self.dtype = model, model.graph, dtype
        self.modules: dict[str, nn.Module] = dict(model.named_modules(remove_duplicate=False))
        self.calls = Counter(id(self.module(node)) for node in self.graph.nodes if node.op == "call_module")
        self.read = {str(node.target).rpartition(".")[0] for node in self.graph.nodes if node.op == "get_attr"}
        self.made = 0

    def enter(self) -> None:
        """Brings the images to `dtype`, for the one convolution that reads them also with its margin."""
        images = next(node for node in self.graph.nodes if node.op == "placeholder")
        readers, padding, channels = list(images.users), self._take_margin(images), 0
        convolution = self._convolution(readers[0]) if len(readers) == 1 else None
        if convolution is not None and convolution.groups == 1:
            channels = convolution.in_channels = aligned(convolution.in_channels, self.dtype)
            convolution.weight = nn.Parameter(widened(convolution.weight, channels), requires_grad=False)
        tail = Tail(None, "none", padding, self.dtype, channels)
        with self.graph.inserting_after(images):
            node = self._call(tail, images)
        images.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)

    def merge(self) -> None:
        for node in list(self.graph.nodes):
            if isinstance(self.module(node), NOTHING):
                node.replace_all_uses_with(node.args[0])
                self.graph.erase_node(node)
        for node in list(self.graph.nodes):
            if self._sum_of_convolutions(node) is not None:
                self._merge_sum(node)
        for node in list(self.graph.nodes):
            if self._ends(node):
                self._end(node, node, None, self._take_bias(node))

    def module(self, node: Any) -> nn.Module | None:
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.modules.get(str(node.target))
        return None

    def _convolution(self, node: Any) -> nn.Conv2d | None:
        """The convolution of a node, if it is called nowhere else and nobody reads its weights."""
        module = self.module(node)
        alone = isinstance(module, nn.Conv2d) and self.calls[id(module)] == 1 and str(node.target) not in self.read
        return module if alone else None  # type: ignore[return-value]  # it is one

    def _ends(self, node: fx.Node) -> bool:
        """Whether a convolution has anything behind it that a tail can take."""
        convolution = self._convolution(node)
        if convolution is None or (len(node.users) == 1 and isinstance(self.module(next(iter(node.users))), Tail)):
            return False
        return convolution.bias is not None or self._activation(node) is not None or any(self._margin(node) or ())

    def _sum_of_convolutions(self, node: fx.Node) -> list[fx.Node] | None:
        """The terms of a sum, a convolution's result that nothing else reads before the other one."""
        if node.op != "call_function" or node.target not in SUMS or len(node.args) != 2 or node.kwargs:
            return None
        first, second = node.args
        if not isinstance(first, fx.Node) or not isinstance(second, fx.Node) or first is second:
            return None
        for one, other in ((first, second), (second, first)):
            if self._convolution(one) is not None and len(one.users) == 1:
                return [one, other]
        return None

    def _merge_sum(self, node: fx.Node) -> None:
        terms = self._sum_of_convolutions(node)
        assert terms is not None
        one, residual = terms
        biases = [self._take_bias(one)]
        if self._convolution(residual) is not None and len(residual.users) == 1:
            biases.append(self._take_bias(residual))
        given = [bias for bias in biases if bias is not None]
        self._end(node, one, residual, torch.stack(given).sum(0) if given else None)

    def _take_bias(self, node: fx.Node) -> Tensor | None:
        """The bias of a convolution that will have none."""
        convolution = self._convolution(node)
        assert convolution is not None
        bias, convolution.bias = convolution.bias, None
        return None if bias is None else bias.detach().float()

    def _end(self, last: fx.Node, value: fx.Node, residual: fx.Node | None, bias: Tensor | None) -> None:
        """Puts a tail behind `value` in the place of the sum `last`, or behind it, and of an activation after it."""
        activation = self._activation(last)
        if activation is not None:
            last = next(iter(last.users))
        padding = self._take_margin(last)
        tail = Tail(bias, activation or "none", padding, self.dtype)
        with self.graph.inserting_after(last):
            node = self._call(tail, *((value,) if residual is None else (value, residual)))
        last.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)
        if last is not value:
            self._erase(last, value)

    def _call(self, tail: Tail, *terms: fx.Node) -> fx.Node:
        name = f"tail{self.made}"
        self.made += 1
        self.model.add_module(name, tail)
        self.modules[name] = tail
        return self.graph.call_module(name, terms)

    def _erase(self, last: fx.Node, value: fx.Node) -> None:
        """Removes an activation and a sum that nothing reads any more: they may write into their inputs."""
        while last is not value and not last.users:
            before = [one for one in last.all_input_nodes if one is not value and self._between(one)]
            self.graph.erase_node(last)
            if not before:
                return
            last = before[0]

    def _between(self, node: fx.Node) -> bool:
        return node.op == "call_function" and node.target in SUMS

    def _activation(self, node: fx.Node) -> Activation | None:
        """The activation that is all that reads a node."""
        if len(node.users) != 1:
            return None
        reader = next(iter(node.users))
        if reader.op == "call_module":
            return MODULES.get(type(self.module(reader)))  # type: ignore[arg-type]
        if reader.op == "call_method" and reader.target in ("relu", "relu_"):
            return "relu"
        return FUNCTIONS.get(reader.target) if reader.op == "call_function" else None

    def _margin(self, node: fx.Node) -> Padding | None:
        """The reflect padding of the convolution that is all that reads a node."""
        reader = next(iter(node.users)) if len(node.users) == 1 else None
        convolution = self._convolution(reader)
        if convolution is None or convolution.padding_mode != "reflect" or isinstance(convolution.padding, str):
            return None
        return convolution.padding  # type: ignore[return-value]  # a pair

    def _take_margin(self, node: fx.Node) -> Padding:
        if self._margin(node) is None:
            return 0, 0
        convolution = self._convolution(next(iter(node.users)))
        assert convolution is not None
        return take_padding(convolution)
