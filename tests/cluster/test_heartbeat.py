"""The head of a cluster: it is gone when it does not answer for a while, and not before."""

from __future__ import annotations

from socket import create_server

import pytest

pytest.importorskip("ray")

from msflow_stream.types import UserError
from pipelines.cluster import heartbeat
from pipelines.cluster.heartbeat import Heartbeat, answers
from tests.support.watching import until


def test_a_head_that_does_not_answer_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "ASK_SECONDS", 0.01)
    monkeypatch.setattr(heartbeat, "GONE_SECONDS", 0.05)

    with create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        with Heartbeat(f"ray://127.0.0.1:{place[1]}") as beat:
            server.accept()[0].close()
            beat.check()
            server.close()
            assert not answers(place)
            until(lambda: _is_gone(beat), "the head is still thought to be there")
            with pytest.raises(UserError, match="the same command goes on"):
                beat.check()


def _is_gone(beat: Heartbeat) -> bool:
    try:
        beat.check()
    except UserError:
        return True
    return False
