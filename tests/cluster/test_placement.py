"""Cameras are placed by capacity, stay where they are, and come back a few at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cluster.placement import MOVES, SETTLED, Capacity, Load, placed

MIB = 2**20
CAMERAS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.builds(Load, st.floats(0.5, 30)), min_size=1, max_size=20
)
NODES = st.dictionaries(
    st.sampled_from(["north", "south", "east", "west"]),
    st.builds(Capacity, st.one_of(st.none(), st.floats(5, 500)), leaving=st.booleans()),
    min_size=1,
)
EQUAL = {f"cam{number:02}": Load(5.0) for number in range(12)}
THREE = {name: Capacity(100.0) for name in ("a", "b", "c")}


def counts(plan: dict[str, str]) -> list[int]:
    return sorted(Counter(plan.values()).values())


def settled(cameras: dict[str, Load], nodes: dict[str, Capacity], plan: dict[str, str]) -> dict[str, str]:
    """The placement that does not change any more."""
    for _ in range(200):
        after = placed(cameras, nodes, plan, SETTLED)
        if after == plan:
            return plan
        plan = after
    raise AssertionError("cameras are moved for ever")


@settings(max_examples=30)
@given(CAMERAS, NODES)
def test_every_camera_is_placed_and_the_placement_settles(cameras: dict[str, Load], nodes: dict[str, Capacity]) -> None:
    plan = settled(cameras, nodes, {})
    assert plan.keys() == cameras.keys()
    if any(not node.leaving for node in nodes.values()):
        assert not any(nodes[node].leaving for node in plan.values())


@settings(max_examples=30)
@given(CAMERAS, NODES, st.data())
def test_a_camera_moves_only_from_a_node_that_is_gone_or_leaves_but_for_a_few(
    cameras: dict[str, Load], nodes: dict[str, Capacity], data: st.DataObject
) -> None:
    names = [*nodes, "gone"]
    before = {camera: data.draw(st.sampled_from(names)) for camera in cameras}
    plan = placed(cameras, nodes, before, SETTLED)
    staying = {name for name, node in nodes.items() if not node.leaving} or set(nodes)
    moved = [one for one in cameras if before[one] in staying and plan[one] != before[one]]
    assert len(moved) <= MOVES


@settings(max_examples=30)
@given(CAMERAS, NODES)
def test_what_is_on_its_way_is_not_moved_again(cameras: dict[str, Load], nodes: dict[str, Capacity]) -> None:
    staying = {name: replace(node, leaving=False) for name, node in nodes.items()}
    before = dict.fromkeys(cameras, min(staying))
    assert placed(cameras, staying, before, SETTLED, fixed=cameras) == before


def test_equal_cameras_are_spread_evenly_over_equal_nodes() -> None:
    assert counts(placed(EQUAL, THREE, {}, 0.0)) == [4, 4, 4]


def test_a_node_of_twice_the_speed_gets_twice_the_cameras() -> None:
    plan = placed(EQUAL, {"slow": Capacity(100.0), "fast": Capacity(200.0)}, {}, 0.0)
    assert Counter(plan.values()) == {"slow": 4, "fast": 8}


def test_the_cameras_of_a_node_that_is_gone_are_spread_and_the_others_stay() -> None:
    before = placed(EQUAL, THREE, {}, 0.0)
    after = placed(EQUAL, {name: THREE[name] for name in ("a", "b")}, before, 0.0)
    assert counts(after) == [6, 6]
    assert all(after[one] == node for one, node in before.items() if node != "c")


def test_a_node_that_comes_back_takes_load_a_few_at_a_time_once_it_has_been_there_for_some_time() -> None:
    plan = placed(EQUAL, {name: THREE[name] for name in ("a", "b")}, {}, 0.0)
    nodes = THREE | {"c": Capacity(100.0, since=50.0)}
    assert placed(EQUAL, nodes, plan, 50.0 + SETTLED / 2) == plan
    first = placed(EQUAL, nodes, plan, 50.0 + SETTLED)
    assert sum(first[one] != plan[one] for one in EQUAL) == MOVES
    assert counts(settled(EQUAL, THREE, first)) == [4, 4, 4]


def test_loads_and_capacities_that_are_measured_a_little_differently_move_nothing() -> None:
    plan = placed(EQUAL, THREE, {}, 0.0)
    for share in (0.92, 1.0, 1.08):
        cameras = {one: Load(5.0 * (share if number % 2 else 1.0)) for number, one in enumerate(EQUAL)}
        assert placed(cameras, THREE | {"a": Capacity(100.0 * share)}, plan, SETTLED) == plan


def test_a_scene_that_cameras_share_takes_its_memory_once() -> None:
    gate = {f"gate{number}": Load(1.0, {"gate": 60 * MIB}) for number in range(4)}
    yard = {f"yard{number}": Load(1.0, {"yard": 60 * MIB}) for number in range(4)}
    plan = placed(gate | yard, {name: Capacity(100.0, memory=100 * MIB) for name in ("a", "b")}, {}, 0.0)
    assert len({plan[one] for one in gate}) == len({plan[one] for one in yard}) == 1
    assert plan["gate0"] != plan["yard0"]


def test_where_no_node_has_the_memory_or_the_speed_cameras_are_placed_all_the_same() -> None:
    big = {f"cam{number}": Load(50.0, {f"scene{number}": 300 * MIB}) for number in range(4)}
    plan = placed(big, {name: Capacity(10.0, memory=100 * MIB) for name in ("a", "b")}, {}, 0.0)
    assert counts(plan) == [2, 2]


def test_without_nodes_nothing_is_placed() -> None:
    assert placed(EQUAL, {}, {}, 0.0) == {}


def test_the_last_node_keeps_its_cameras_though_it_is_to_leave() -> None:
    assert set(placed(EQUAL, {"a": Capacity(leaving=True)}, {}, 0.0).values()) == {"a"}
