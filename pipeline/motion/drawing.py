"""A motion as a person looks at it: a strip of poses over its beats, and moving pictures.

The viewer stands before the dancer, a little above. The dancer's left is drawn in vermilion, the right in blue; music's
beats are bars, the dancer's own (motion/beats.py) are dots: where they meet, the dance keeps the beat. Pictures are RGB
on paper of their own, so that they are the same on light and dark pages.
"""

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont

from pipeline.media import Pixels
from pipeline.motion import beats as rhythm
from pipeline.motion.beats import Beats
from pipeline.motion.skeleton import BONES, FPS, JOINTS, Poses

Points = NDArray[np.float64]

PAPER, INK, SOFT, LINE, SHADE, AREA = "#f5f6f7", "#2b3036", "#8a939b", "#dfe3e6", "#e3e6e9", "#cfd6db"
SIDES = {"l": "#d55e00", "r": "#0072b2"}
TRAILS = {"l": "#efc7aa", "r": "#aacce0"}
PITCH, ASIDE = np.radians(10), np.radians(25)  # the viewer looks down, and stands to the dancer's left of the front
FINER = 2  # drawn so many times larger, and reduced: smooth edges
HANDS = (20, 21)
ROOM = 1.25  # metres about the dancer in a moving picture, from the middle to its edge
STAYS = 1.4  # metres: a dance that goes no farther is watched without turning after it
HEAD = 0.1  # metres, its radius


@dataclasses.dataclass(frozen=True)
class _Camera:
    """A parallel projection: metres to pixels."""

    yaw: float  # radians by which the world is turned
    scale: float  # pixels a metre
    origin: tuple[float, float]  # pixels at which the world's origin stands

    def __call__(self, points: Points) -> Points:
        """Pixels and nearness [..., 3] of points [..., 3] in metres."""
        c, s, up, x, z = np.cos(self.yaw), np.sin(self.yaw), points[..., 1], points[..., 0], points[..., 2]
        right, near = c * x - s * z, s * x + c * z
        height = up * np.cos(PITCH) - near * np.sin(PITCH)
        return np.stack([self.origin[0] + right * self.scale, self.origin[1] - height * self.scale, near], -1)


def strip(poses: Poses, beats: Beats | None = None, frames: int = 8, size: tuple[int, int] = (1120, 280)) -> Pixels:
    """The motion [T, 22, 3] as a picture [H, W, 3] of size (W, H): `frames` poses at even times, each with the paths
    that its hands have come, over the speed of the body with the music's beats."""
    width, height = size[0] * FINER, size[1] * FINER
    picture = Image.new("RGB", (width, height), PAPER)
    if not len(poses):
        return np.asarray(picture.reduce(FINER))
    draw, slot, track = ImageDraw.Draw(picture), width / frames, 0.2 * height
    floor = height - track - 0.075 * height
    scale = min((floor - 0.05 * height) / 1.85, slot / 1.1)
    draw.line([(0, floor), (width, floor)], LINE, 2 * FINER)
    yaw, step = _yaw(poses), len(poses) / frames
    for number in range(frames):
        frame = int((number + 0.5) * step)
        camera = _Camera(yaw, scale, ((number + 0.5) * slot, floor))
        place = poses[frame, 0] * (1, 0, 1)
        came = poses[max(0, frame - round(step)) : frame + 1] - place
        _shadow(draw, camera(np.zeros(3)), scale)
        for hand in HANDS:
            _path(draw, camera(came[:, hand]), TRAILS[JOINTS[hand][0]], scale)
        _figure(draw, camera(poses[frame] - place), scale)
    _rhythm(draw, poses, beats, (height - track, height, width))
    return np.asarray(picture.reduce(FINER))


def pictures(poses: Poses, beats: Beats | None = None, size: int = 240, fps: float = FPS) -> Iterator[Image.Image]:
    """Square pictures of the motion, `fps` in each second of it: the viewer goes along with a dancer who travels, over
    a floor that stays; below runs the time, a mark lights up on each beat."""
    if not len(poses):
        return
    side = size * FINER
    scale, yaw = 0.5 * side / ROOM, _yaw(poses)
    middle = _followed(poses[:, 0] * np.array([1.0, 0, 1]))
    for frame in np.arange(0, len(poses), FPS / fps).astype(int):
        picture = Image.new("RGB", (side, side), PAPER)
        draw, camera = ImageDraw.Draw(picture), _Camera(yaw, scale, (side / 2, 0.84 * side))
        _floor(draw, camera, middle[frame])
        pose = poses[frame] - middle[frame]
        _shadow(draw, camera(pose[0] * (1, 0, 1)), scale)
        _figure(draw, camera(pose), scale)
        _clock(draw, frame, len(poses), beats)
        yield picture.reduce(FINER)


def animation(poses: Poses, beats: Beats | None = None, size: int = 200, fps: float = 15) -> bytes:
    """The motion as a GIF that repeats, about 60 kB for 5 s; a GIF of one empty picture for no frames."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for colour in _colours() for value in colour])
    made = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures(poses, beats, size, fps)]
    first, *rest = made or [Image.new("P", (size, size))]
    out = io.BytesIO()
    first.save(out, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return out.getvalue()


def _colours() -> Iterator[tuple[int, ...]]:
    """All that a picture needs: each colour in steps to the paper, for smooth edges."""
    paper = np.array(ImageColor.getrgb(PAPER))
    yield tuple(paper.tolist())
    for colour in (INK, SOFT, *SIDES.values()):
        for share in (0.25, 0.5, 0.75, 1):
            yield tuple((paper + share * (np.array(ImageColor.getrgb(colour)) - paper)).astype(int).tolist())
    yield from (ImageColor.getrgb(colour) for colour in (LINE, SHADE))


def _followed(root: Points) -> Points:
    """Where the viewer looks [T, 3] while the dancer's pelvis is above `root`: at one place if the dance stays near."""
    low, high = root.min(0), root.max(0)
    if (high - low).max() <= STAYS:
        return np.broadcast_to((low + high) / 2, root.shape)
    return rhythm.smoothed(root, FPS / 2, axis=0, mode="nearest")


def _yaw(poses: Poses) -> float:
    """Angle by which the world is turned so that the dancer faces the viewer most of the time, seen from one side."""
    across = poses[:, 1] - poses[:, 2] + poses[:, 16] - poses[:, 17]  # right to left
    ahead = np.arctan2(-across[:, 2], across[:, 0])
    return ASIDE + float(np.arctan2(np.sin(ahead).mean(), np.cos(ahead).mean()))


def _figure(draw: ImageDraw.ImageDraw, joints: Points, scale: float) -> None:
    """A dancer of joints [22, 3] in pixels, the far limbs first."""
    width = max(1, round(0.045 * scale))
    for parent, child in sorted(BONES, key=lambda bone: joints[list(bone), 2].sum()):
        colour = SIDES.get(JOINTS[child].partition("_")[0], INK)
        ends = [tuple(joints[parent, :2]), tuple(joints[child, :2])]
        draw.line(ends, colour, width)
        for end in ends:
            draw.circle(end, width / 2, colour)
    draw.circle(tuple(joints[15, :2] - (0, 0.3 * HEAD * scale)), HEAD * scale, INK)


def _path(draw: ImageDraw.ImageDraw, points: Points, colour: str, scale: float) -> None:
    if len(points) > 1:
        draw.line([tuple(p) for p in points[:, :2]], colour, max(1, round(0.02 * scale)), joint="curve")


def _shadow(draw: ImageDraw.ImageDraw, place: Points, scale: float) -> None:
    x, y, across, deep = place[0], place[1], 0.3 * scale, 0.3 * scale * np.sin(PITCH)
    draw.ellipse((x - across, y - deep, x + across, y + deep), SHADE)


def _floor(draw: ImageDraw.ImageDraw, camera: _Camera, middle: Points) -> None:
    """Lines of the floor every metre, which stay while the viewer moves."""
    first = np.round(middle) - middle
    for offset in (-2, -1, 0, 1, 2):
        for ends in (((offset, -2), (offset, 2)), ((-2, offset), (2, offset))):
            line = camera(np.array([(x + first[0], 0, z + first[2]) for x, z in ends]))
            draw.line([tuple(p[:2]) for p in line], LINE, FINER)


def _rhythm(draw: ImageDraw.ImageDraw, poses: Poses, beats: Beats | None, box: tuple[float, float, float]) -> None:
    """Speed of the body over time as an area between top and bottom, over all the width (`box`, pixels); bars of the
    music's beats behind it, dots where the dancer rests."""
    top, bottom, width = box
    label = ImageFont.load_default(11 * FINER)
    low, high = bottom - 17 * FINER, top + 8 * FINER
    frame_width, second_width = width / len(poses), width / len(poses) * FPS
    for beat in [] if beats is None else beats:
        draw.line([(beat * second_width, top), (beat * second_width, low)], SOFT, round(1.5 * FINER))
    speed = np.linalg.norm(np.gradient(poses, axis=0), axis=-1).mean(-1) if len(poses) > 1 else np.zeros(1)
    speed = rhythm.smoothed(speed, rhythm.STILLNESS_FRAMES)
    level = low - (low - high) * speed / max(speed.max(), 1e-9)
    curve = list(zip(np.arange(len(speed)) * frame_width, level, strict=True))
    draw.polygon([(0, low), *curve, (curve[-1][0], low)], AREA)
    draw.line([(0, low), (width, low)], SOFT, FINER)
    for frame in rhythm.kinematic(poses):
        draw.circle(curve[frame], 4 * FINER, INK)
    for second in range(int(len(poses) / FPS) + 1):
        draw.text((second * second_width + 3 * FINER, low + 2 * FINER), f"{second} s", SOFT, label)


def _clock(draw: ImageDraw.ImageDraw, frame: int, length: int, beats: Beats | None) -> None:
    """How much of the motion has gone by, its beats, and a mark that is lit for a tenth of a second after each."""
    side = draw.im.size[0]
    left, right, y = 0.06 * side, 0.86 * side, 0.95 * side
    now = left + (right - left) * frame / max(1, length - 1)
    draw.line([(left, y), (right, y)], LINE, 2 * FINER)
    draw.line([(left, y), (now, y)], SOFT, 2 * FINER)
    if beats is not None:
        for x in left + (right - left) * beats[beats * FPS < length] * FPS / max(1, length - 1):
            draw.line([(x, y - 3 * FINER), (x, y + 3 * FINER)], SOFT, FINER)
        since = frame / FPS - beats
        lit = bool(((since >= 0) & (since < 0.13)).any())
        draw.circle((0.93 * side, y), (5 if lit else 3) * FINER, INK if lit else LINE)
