"""torch.compile: every network is compiled, however many there are, for few batch sizes; nothing runs uncompiled."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn

from msflow_stream.scenes.scene import Scene
from msflow_stream.scoring.engine_inference import EngineInference
from msflow_stream.scoring.engines.compile_engine import CompileEngine, padded
from msflow_stream.scoring.scorer import Scorer
from msflow_stream.types import UserError
from tests.support.footage import frames, small_settings


@pytest.fixture(autouse=True)
def without_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch writes for its own debugging takes as long as the rest, where a test keeps all that is logged."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)


class Compiler:
    """A backend of torch.compile that leaves graphs as they are, and counts them by their batch."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.calls = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        names = [node.name for node in graph.graph.nodes if node.op == "placeholder"]  # weights are inputs, too
        self.batches += [len(one) for name, one in zip(names, inputs, strict=True) if "inputs_0" in name]

        def run(*arguments: Tensor) -> Any:
            self.calls += 1
            return graph.forward(*arguments)

        return run


class Small(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 2)

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return (torch.tanh(self.linear(values)),)


def test_every_one_of_many_networks_is_compiled_and_none_falls_back() -> None:
    compiler = Compiler()
    engine, graphs = CompileEngine(backend=compiler), [Small(seed) for seed in range(10)]
    runs = [engine.compile(graph, [torch.zeros(2, 3)], lambda: []) for graph in graphs]
    for count, some in ((2, 10), (3, 1)):
        given = torch.randn(count, 3)
        for graph, run in list(zip(graphs, runs, strict=True))[:some]:
            (found,) = run([given])
            with torch.inference_mode():
                assert torch.allclose(found, graph(given)[0], atol=1e-6)
    assert sorted(compiler.batches) == [2] * 10 + [4]
    assert compiler.calls == 10 * 2 + 1  # with the examples; each call of each network was one of compiled code


def test_what_was_compiled_goes_with_the_function() -> None:
    graph = Small(0)
    run = CompileEngine(backend=Compiler()).compile(graph, [torch.zeros(2, 3)], lambda: [])
    watched = ref(graph)
    del graph, run
    gc.collect()
    assert watched() is None


def test_a_network_that_torch_cannot_compile_as_a_whole_is_refused() -> None:
    class Odd(Small):
        def forward(self, values: Tensor) -> tuple[Tensor, ...]:
            torch._dynamo.graph_break()
            return super().forward(values)

    with pytest.raises(UserError, match=r"torch\.compile does not work here .*use another --engine"):
        CompileEngine(backend=Compiler()).compile(Odd(0), [torch.zeros(2, 3)], lambda: [])


def test_a_compiler_that_fails_is_said_in_a_line() -> None:
    def broken(graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        raise RuntimeError("no C++ compiler")

    with pytest.raises(UserError, match=r"RuntimeError: no C\+\+ compiler"):
        CompileEngine(backend=broken).compile(Small(0), [torch.zeros(2, 3)], lambda: [])


@pytest.mark.long
def test_a_scene_scores_the_same_compiled() -> None:
    scene = Scene.new("gate", small_settings("score.kind=paper"))
    settings = scene.settings.score.model_copy(update={"batch": 2})
    compiler = Compiler()
    engine = CompileEngine(backend=compiler)
    found = list(Scorer(scene, "cpu", settings, EngineInference(lambda _: engine))(frames(4)))
    expected = list(Scorer(scene, "cpu", settings)(frames(4)))
    assert sorted(compiler.batches) == [2, 2]
    assert [s.surprise for s in found] == pytest.approx([s.surprise for s in expected], rel=1e-4)
    assert [s.score for s in found] == pytest.approx([s.score for s in expected], rel=1e-4)


@pytest.mark.parametrize("count", [1, 3, 4, 6, 8, 9, 19])
def test_a_padded_function_is_called_with_few_sizes_and_returns_what_was_asked(count: int) -> None:
    called: list[int] = []

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        called.append(len(inputs[0]))
        return [inputs[0] + inputs[1], inputs[0] ** 2]

    first, second = torch.randn(count, 2), torch.randn(count, 2)
    found = padded(run, (1, 2, 4, 8))([first, second])
    assert torch.equal(found[0], first + second)
    assert torch.equal(found[1], first**2)
    assert set(called) <= {1, 2, 4, 8}
    assert sum(called) < 2 * count
