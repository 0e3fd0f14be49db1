"""The scenes of many cameras, held once each, with one backbone for all whose features are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from pydantic import ValidationError

from msflow_stream.files import file_hash
from msflow_stream.machine import choose_device
from msflow_stream.model.pyramid import Pyramid
from msflow_stream.model.tensors import weights_bytes
from msflow_stream.scenes.calibration import Calibration
from msflow_stream.scenes.folder import RECORD, read_record, scene_folder
from msflow_stream.scenes.scene import Scene


@dataclass(frozen=True, slots=True)
class _Held:
    """A scene in memory, and hash and content of the scene.json it came from (in which the hash of its weights is)."""

    scene: Scene
    stamp: str
    content: dict[str, Any]


class SceneCache:
    """Scenes of one folder, loaded when they are asked for; may be used from several threads.

    Scenes whose pyramids are the same function share one: their frames can go through it together. Flows stay in the
    CPU's memory: an inference has on the device what it makes of those that it scores with.

    Args:
        folder: holds a folder per scene.
        device: auto, cpu, cuda, cuda:1 and so on.
        prepare: called with every scene that was loaded, before anyone gets it.

    Raises:
        UserError: a device that this machine lacks.
    """

    def __init__(
        self,
        folder: Path,
        device: str = "auto",
        prepare: Callable[[Scene], None] = lambda scene: None,
    ) -> None:
        self.folder, self.device, self._prepare = folder, choose_device(device), prepare
        self._held: dict[str, _Held] = {}
        self._pyramids: WeakValueDictionary[str, Pyramid] = WeakValueDictionary()  # gone with their last scene
        self._lock = Lock()  # of changes; who asks for a scene that is held does not wait for one that is loaded

    @property
    def nbytes(self) -> int:
        """Bytes of the weights of all scenes; what they share is counted once."""
        scenes = [held.scene for held in list(self._held.values())]
        modules = {id(module): module for scene in scenes for module in (scene.pyramid, scene.flow)}
        return sum(weights_bytes(module) for module in modules.values())

    def get(self, name: str) -> Scene:
        """Returns the scene of this name.

        Raises:
            UserError: as `Scene.load`, or a name that no scene can have.
        """
        held = self._held.get(name)
        if held is None:
            with self._lock:
                held = self._held.get(name) or self._load(name)
                self._held[name] = held
        return held.scene

    def load_beside(self, name: str, folder: Path) -> Scene:
        """Returns a scene of another folder that goes by the name of one of these, such as a later version of it.

        It shares a pyramid with those that are held, but is not held itself, nor prepared.

        Raises:
            UserError: as `Scene.load`.
        """
        scene = Scene.load(folder)
        with self._lock:
            pyramid = self._pyramids.setdefault(_function(scene), scene.pyramid)
        pyramid.to(self.device)
        return replace(scene, name=name, pyramid=pyramid)

    def reload(self, names: Iterable[str]) -> list[str]:
        """Loads those of the scenes that were fitted or calibrated again since, or were not held; returns their names.

        Who has the scene of before keeps it. One that was only calibrated again keeps its networks, and what was made
        ready of them.

        Raises:
            UserError: one cannot be loaded; then nothing has changed.
        """
        with self._lock:
            held = {name: self._held.get(name) for name in names}
            found = {
                name: self._recalibrated(name, old) or self._load(name)
                for name, old in held.items()
                if old is None or old.stamp != self._stamp(name)
            }
            self._held.update(found)
        return list(found)

    def keep(self, names: Collection[str]) -> None:
        """Drops all scenes but these."""
        with self._lock:
            for name in self._held.keys() - set(names):
                del self._held[name]

    def forget(self, name: str) -> None:
        """Drops a scene, if it is held."""
        with self._lock:
            self._held.pop(name, None)

    def _stamp(self, name: str) -> str | None:
        try:
            return file_hash(scene_folder(self.folder, name) / RECORD)
        except OSError:  # it is for Scene.load to say what is wrong
            return None

    def _recalibrated(self, name: str, held: _Held | None) -> _Held | None:
        """Returns the scene with its new calibration; None where anything else of it is another."""
        if held is None:
            return None
        stamp, content = self._stamp(name), read_record(scene_folder(self.folder, name))
        if _without_calibration(content) != _without_calibration(held.content) or not content["calibration"]:
            return None
        try:
            calibration = Calibration.model_validate(content["calibration"])
        except ValidationError:  # it is for Scene.load to say what is wrong
            return None
        return _Held(replace(held.scene, calibration=calibration), stamp or "", content)

    def _load(self, name: str) -> _Held:
        stamp = self._stamp(name)  # before: a scene that is replaced meanwhile is then loaded again, not missed
        content = read_record(scene_folder(self.folder, name))
        scene = Scene.load(scene_folder(self.folder, name))
        pyramid = self._pyramids.setdefault(_function(scene), scene.pyramid)
        # By its folder's name, the one it is asked for by: folders are copied and renamed.
        shared = replace(scene, name=name, pyramid=pyramid)
        shared.pyramid.to(self.device)
        self._prepare(shared)
        return _Held(shared, stamp or "", content)


def _without_calibration(content: dict[str, Any]) -> dict[str, Any]:
    """Returns a record without its calibration, and without who applied that and when."""
    return {key: value for key, value in content.items() if key not in ("calibration", "applied")}


def _function(scene: Scene) -> str:
    """Returns a hash of what the scene's pyramid computes: its settings and its weights, wherever those came from."""
    model = scene.settings.model
    digest = hashlib.sha256(repr((model.backbone, model.stages, model.padding, model.pool, model.pool_kernel)).encode())
    for name, value in scene.pyramid.backbone.state_dict().items():
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
