from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msflow_stream.video.live.faults import Fault
from msflow_stream.video.live.states import ENDINGS, TRANSITIONS, IllegalTransition, State, StateMachine

MOVES = st.lists(st.sampled_from(State), max_size=30)


@given(moves=MOVES)
def test_observers_see_one_unbroken_chain_of_legal_changes(moves: list[State]) -> None:
    machine = StateMachine()
    seen: list[tuple[State, State, str]] = []
    machine.observe(lambda *change: seen.append(change))
    for number, new in enumerate(moves):
        old = machine.condition
        try:
            machine.move(new, str(number), Fault.LOST)
        except IllegalTransition:
            assert machine.condition == old
    chain = [State.CONNECTING, *(new for _, new, _ in seen)]
    assert [old for old, _, _ in seen] == chain[:-1]
    assert machine.condition.state is chain[-1]
    assert [reason for _, _, reason in seen] == sorted((reason for _, _, reason in seen), key=int)
    # After the end nothing happens, and a picture comes before a stall.
    assert not ENDINGS & set(chain[:-1])
    assert all(before in (State.RUNNING, State.STALLED) for before, new, _ in seen if new is State.STALLED)
    assert all(before is State.RECONNECTING for before, new, _ in seen if new is State.CONNECTING)


@given(moves=MOVES)
def test_a_camera_can_be_stopped_from_every_state_but_the_last(moves: list[State]) -> None:
    machine = StateMachine()
    for new in moves:
        if new in TRANSITIONS[machine.condition.state]:
            machine.move(new, "")
    if machine.condition.state in ENDINGS:
        with pytest.raises(IllegalTransition):
            machine.move(State.STOPPED, "")
    else:
        assert machine.move(State.STOPPED, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (State.CONNECTING, State.STALLED),  # nothing can stall before it ran
        (State.CONNECTING, State.CONNECTING),  # an attempt that failed is said before the next
        (State.RUNNING, State.RUNNING),
        (State.RUNNING, State.CONNECTING),
        (State.RECONNECTING, State.RUNNING),
        (State.STOPPED, State.CONNECTING),
        (State.FAILED, State.STOPPED),
    ],
)
def test_these_changes_are_illegal(old: State, new: State) -> None:
    machine = StateMachine()
    way = {State.RUNNING: [State.RUNNING], State.RECONNECTING: [State.RECONNECTING]}
    way |= {State.STOPPED: [State.STOPPED], State.FAILED: [State.FAILED]}
    for step in way.get(old, []):
        machine.move(step, "")
    with pytest.raises(IllegalTransition, match=f"{old} -> {new}"):
        machine.move(new, "why")


def test_a_change_meant_for_another_state_is_left_undone() -> None:
    machine = StateMachine()
    assert not machine.move(State.STALLED, "late", only_from={State.RUNNING})
    assert machine.condition.state is State.CONNECTING


def test_an_observer_may_look_and_cause_the_next_change() -> None:
    machine = StateMachine()
    seen: list[State] = []

    def observer(old: State, new: State, reason: str) -> None:
        seen.append(machine.condition.state)
        if new is State.RUNNING:
            machine.move(State.STOPPED, "enough")

    machine.observe(observer)
    machine.move(State.RUNNING, "")
    assert seen == [State.RUNNING, State.STOPPED]
