"""Stand-in."""
import io
import numpy as np
from PIL import Image, ImageDraw
from pipeline.motion.skeleton import BONES, Poses
from pipeline.media import Pixels


def _frame(p, side=96):
    im = Image.new("RGB", (side, side), "white"); d = ImageDraw.Draw(im)
    q = p[:, :2] - p[0, :2] * [1, 0]
    for a, b in BONES:
        d.line([tuple(side/2 + q[a,0]*side/2.2, ) + (side*0.95 - q[a,1]*side/2.2,), (side/2 + q[b,0]*side/2.2, side*0.95 - q[b,1]*side/2.2)], "black")
    return im


def strip(poses: Poses) -> Pixels:
    return np.hstack([np.asarray(_frame(poses[i])) for i in np.linspace(0, len(poses)-1, 4).round().astype(int)])


def animation(poses: Poses) -> bytes:
    out = io.BytesIO(); f = [_frame(p) for p in poses[::3]]
    f[0].save(out, "GIF", save_all=True, append_images=f[1:], duration=100, loop=0)
    return out.getvalue()
