"""Motions: poses [T, 22, 3] in metres at FPS frames a second (motion/skeleton.py), as long as their music."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.media import Pixels
from pipeline.motion import drawing, features, stored
from pipeline.motion.formats import Dance, video
from pipeline.motion.skeleton import FPS, JOINTS, Poses
from pipeline.results import reference
from pipeline.settings import SettingsError, Task
from pipeline.sound import RATE

if TYPE_CHECKING:
    from torch import Tensor

POSES, STRIP = 5, (720, 240)  # in a picture of a motion, and its width and height
MOVING = (200, 10.0)  # pixels and pictures a second of one that moves: some 12 kB a second


class MotionResult:
    """See results/__init__.py: Result. Takes the task's option `seconds`: what no music ends earlier is so long."""

    kind = "motion"
    fields = (
        pa.field("motion", pa.list_(pa.float32())),
        pa.field("n_frames", pa.int32()),
        pa.field("n_joints", pa.int32()),
        pa.field("fps", pa.float32()),
    )

    def __init__(self, task: Task) -> None:
        seconds = task.options.get("seconds")
        if not isinstance(seconds, int | float) or round(seconds * FPS) < 1:
            raise SettingsError(f"task.options.seconds must be a number of seconds, not {seconds!r}")
        self.descriptors = {"k": features.kinetic, "g": features.geometric}
        self.frames = round(seconds * FPS)
        self.reference = reference(task, self.kind)
        self.music = [role for role, kind in task.roles.items() if kind == "audio"]
        self.times = [role for role, kind in task.roles.items() if kind == "times"]

    def size(self, inputs: Mapping[str, Any]) -> int:
        """Frames: those of the music where there is some, at most those of `seconds`."""
        heard = [round(len(inputs[role]) * FPS / RATE) for role in self.music if inputs.get(role) is not None]
        return max(1, min([self.frames, *heard]))

    def fitted(self, kind: str, given: Any, size: int) -> Any:
        """As much of what takes time as is danced to."""
        if kind == "audio":
            return given[: round(size * RATE / FPS)]
        if kind == "times":
            return given[given < size / FPS]
        return given[:size] if kind == "motion" else given

    def array(self, drawn: "Tensor") -> NDArray[np.float32]:
        """Poses [B, T, 22, 3]."""
        poses: NDArray[np.float32] = drawn.float().nan_to_num().cpu().numpy()
        return poses

    def value(self, row: Poses, size: int | None) -> Poses:
        """The poses until the music ends."""
        return row[:size]

    def preview(self, value: Poses, inputs: Mapping[str, Any]) -> Pixels:
        """Some of its poses side by side, over the beats of the music."""
        return drawing.strip(value, self._beats(inputs), POSES, STRIP)

    def moving(self, value: Poses, inputs: Mapping[str, Any]) -> bytes | None:
        """The dance itself, with a mark that lights up on each beat: as GIF; with its music, as MP4."""
        beats = self._beats(inputs)
        music = next((inputs[r] for r in self.music if inputs.get(r) is not None), None)
        if music is not None and video.available():
            return video.encode(Dance(value, beats, music))
        return drawing.animation(value, beats, *MOVING)

    def _beats(self, inputs: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """The beats that an input tells, in seconds."""
        return next((np.asarray(inputs[r], np.float64) for r in self.times if inputs.get(r) is not None), None)

    def columns(self, value: Poses, xmp: bytes = b"") -> dict[str, Any]:  # noqa: ARG002
        """All numbers as one list, and what they are."""
        return {"motion": value.ravel(), "n_frames": len(value), "n_joints": len(JOINTS), "fps": float(FPS)}

    def stored(self, row: Mapping[str, Any]) -> Poses | None:
        """The poses."""
        return stored.decode(row["motion"])
