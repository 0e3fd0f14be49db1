"""What the console asks of a node, asked of an actor of Ray that answers as `WatchNode` does."""

from __future__ import annotations

from typing import Any

from msflow_stream.types import UserError
from msflow_stream.watch.live_frames import ShownFrame

from .node_desk import NodeAway

LONG = 30.0  # seconds for an answer, after others have taken a message


class RayCalls:
    """Calls of an actor.

    A frame is a file of some ten kilobytes by the time it is sent, and comes with the answer itself; those of 100 KiB
    and more, as somebody may look at in large, pass the object store and are gone once they have been read.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def frame(self, camera: str, width: int, after: int, seconds: float, plain: bool) -> ShownFrame | None:
        """Returns a camera's newest frame."""
        from ray.exceptions import RayError

        try:
            found: ShownFrame | None = await self._actor.frame.remote(camera, width, after, seconds, plain)
        except (KeyError, UserError):  # which are errors of Ray, too
            raise
        except RayError as error:
            raise NodeAway(type(error).__name__) from None
        return found

    def test_alert(self, name: str) -> None:
        """Sends a test by an alert."""
        _asked(self._actor.test_alert.remote(name))

    def retry_dead(self, name: str) -> int:
        """Queues dead letters again, and returns their number."""
        return int(_asked(self._actor.retry_dead.remote(name)))


def _asked(answer: Any) -> Any:
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(answer, timeout=LONG)
    except UserError as error:  # which is an error of Ray, too, with a traceback of its own as its text
        raise UserError(str(getattr(error, "cause", error))) from None
    except RayError as error:
        raise NodeAway(type(error).__name__) from None
