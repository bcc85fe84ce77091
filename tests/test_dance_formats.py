"""pipeline/datasets/dance: reading.py, kinematics.py, bvh.py, acclaim.py."""

from pathlib import Path

import numpy as np
import pybvh
import pytest
from scipy.spatial.transform import Rotation

from pipeline.datasets.dance import acclaim, bvh, kinematics, reading
from pipeline.datasets.dance.reading import FormatError, Lines

ARM = """HIERARCHY
ROOT hip
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT arm
  {
    OFFSET 0 1 0
    CHANNELS 3 Xrotation Yrotation Zrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.02
0 0 0 0 0 0 0 0 0
10 0 0 90 0 0 90 0 0
"""
LEG = """:units
  mass 1.0
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name thigh
     direction 0 -1 0
     length 4
     axis 0 0 90 XYZ
     dof rx
     limits (-160.0 20.0)
  end
  begin
     id 2
     name shin
     direction 0 -1 0
     length 3
     axis 0 0 0 XYZ
     dof rx rz
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
STEPS = (
    ":FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 0 0 0\nthigh 0\nshin 0 0\n2\nroot 0 9 0 0 90 0\nthigh 90\nshin 0 90\n"
)


def lines(text: str) -> Lines:
    return Lines(text, "tiny")


def test_a_joint_stands_where_its_parents_turn_it() -> None:
    file = bvh.parse(lines(ARM))
    places = bvh.positions(file)
    assert file.fps == pytest.approx(50)
    assert places["arm end"][0].tolist() == [1, 5, 3]
    # Second frame: the hip turned a quarter about z lays the arm along -x; the arm's own quarter about x then lifts
    # its end out of that along z.
    np.testing.assert_allclose(places["arm"][1], [10, 2, 3], atol=1e-12)
    np.testing.assert_allclose(places["arm end"][1], [10, 2, 5], atol=1e-12)


def test_positions_are_those_of_pybvh(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    orders = ["Zrotation Xrotation Yrotation", "Xrotation Zrotation Yrotation", "Yrotation Xrotation Zrotation"]
    head = "HIERARCHY\nROOT j0\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition " + orders[0]
    for j in range(1, 4):
        head += f"\nJOINT j{j}\n{{\nOFFSET {j} {2 * j} {-j}\nCHANNELS 3 {orders[j % 3]}"
    head += "\nEnd Site\n{\nOFFSET 1 1 1\n}" + "\n}" * 4 + "\nMOTION\nFrames: 7\nFrame Time: 0.033333\n"
    rows = rng.uniform(-170, 170, (7, 15)).round(4)
    path = tmp_path / "random.bvh"
    path.write_text(head + "\n".join(" ".join(map(str, row)) for row in rows) + "\n")
    ours = bvh.positions(bvh.read(path))
    theirs = pybvh.read_bvh_file(path).node_positions()
    np.testing.assert_allclose(np.stack([*ours.values()], 1), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ROOT hip", "ROOT"), "line 2: 'ROOT' where a joint should begin or end"),
        (("OFFSET 0 1 0", "OFFSET 0 1"), "line 8: 2 numbers where 3 should be"),
        (("OFFSET 0 1 0", "OFFSET 0 1 inf"), "line 8: a number that is not finite"),
        (("CHANNELS 3 X", "CHANNELS 2 X"), "line 9: channels '2 Xrotation"),
        (("JOINT arm", "JOINT hip"), "line 6: joint 'hip' stands twice"),
        (("MOTION", "MOTION\nMOTION"), "line 17: 'MOTION' where Frames: should be"),
        (("Frames: 2", "Frames: 99999999"), "line 17: '99999999' where a whole number up to 1,000,000"),
        (("Frames: 2", "Frames: 3"), "line 20: ends where another line should be"),
        (("Frames: 2", "Frames: 1"), "line 20: more than the 1 frames"),
        (("Frame Time: 0.02", "Frame Time: 0"), "line 18: a frame time of 0.0 s"),
        (("10 0 0 90", "10 0 0 __import__"), "line 20: could not convert string to float: '__import__'"),
        (("  }\n}\nMOTION", "MOTION"), "line 14: MOTION before the hierarchy is complete"),
    ],
)
def test_a_broken_bvh_is_answered_with_its_line(change: tuple[str, str], message: str) -> None:
    with pytest.raises(FormatError, match="tiny, ") as caught:
        bvh.parse(lines(ARM.replace(*change)))
    assert message in str(caught.value)


def test_bones_end_where_their_axes_turn_them() -> None:
    skeleton = acclaim.parse_skeleton(lines(LEG))
    places = acclaim.positions(skeleton, acclaim.parse_motion(lines(STEPS), skeleton))
    assert places["shin"][0].tolist() == [1, -5, 3]  # hanging
    # The thigh's x axis is y of the world at rest; a quarter about it leaves the thigh hanging. The root's quarter
    # about y changes nothing of that either. The shin's z axis has then been turned twice about y, onto -z, so its
    # quarter lays the shin along -x instead of +x.
    np.testing.assert_allclose(places["thigh"][1], [0, 5, 0], atol=1e-12)
    np.testing.assert_allclose(places["shin"][1], [-3, 5, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("skeleton", "motion", "message"),
    [
        (LEG.replace("axis XYZ", "axis ZYX"), STEPS, "line 7: a root with axis ZYX is not read"),
        (LEG.replace("dof rx rz", "dof rx tz"), STEPS, "degrees of freedom rx tz are not read"),
        (LEG.replace("     length 3\n", ""), STEPS, "a bone needs name, direction, length"),
        (LEG.replace("thigh shin", "foot shin"), STEPS, "foot has children before it has a parent"),
        (LEG.replace("    thigh shin\n", ""), STEPS, "bones that the hierarchy does not hang anywhere"),
        (LEG, STEPS.replace(":DEGREES\n", ""), "not said to be in :DEGREES"),
        (LEG, STEPS.replace("shin 0 0", "shin 0"), "line 6: 1 numbers where 2 should be"),
        (LEG, STEPS.replace("shin 0 0\n", ""), "frame 1 has shin not exactly once"),
        (LEG, STEPS.replace("\n2\n", "\n3\n"), "line 7: this should be frame 2"),
        (LEG, STEPS.replace("shin 0 90", "toe 0 90"), "line 10: toe is no bone that moves"),
    ],
)
def test_a_broken_acclaim_pair_is_answered_with_its_line(skeleton: str, motion: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        acclaim.parse_motion(lines(motion), acclaim.parse_skeleton(lines(skeleton)))
    assert message in str(caught.value)


def test_files_that_are_not_there_or_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot read .*none.bvh: No such file"):
        bvh.read(tmp_path / "none.bvh")
    (tmp_path / "large").write_bytes(b"x" * 100)
    with pytest.raises(FormatError, match="has 100 bytes; at most 99 are read"):
        reading.content(tmp_path / "large", 99)


def test_rotations_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(5, 4, 3)) * np.array([0, 1e-9, 1, 3])[None, :, None]
    expected = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(5, 4, 3, 3)
    np.testing.assert_allclose(kinematics.from_vectors(vectors), expected, atol=1e-12)
    np.testing.assert_allclose(kinematics.from_six(expected[..., :2, :].reshape(5, 4, 6)), expected, atol=1e-12)
    angles = rng.uniform(-180, 180, (6, 3))
    euler = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
    np.testing.assert_allclose(kinematics.euler("ZXY", angles), euler, atol=1e-12)
