"""Stages that learn from dances: music and motion stay together, exact predictions have no loss, and what is trained
can be sampled from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from jobs.cli import compose_config
from pipeline import storage
from pipeline.build import build
from pipeline.diffusion.dance import MusicToDanceBackend
from pipeline.models.files import Files
from pipeline.motion import representation
from pipeline.motion.skeleton import FPS, MIRRORED
from pipeline.music import CHANNELS
from pipeline.train import dances
from pipeline.train.dance_alignment import DanceAlignment
from pipeline.train.dance_denoising import DanceDenoising, losses
from pipeline.train.fit import fit
from pipeline.train.settings import Train
from tests import tiny_dance

FRAMES = 30
COLUMNS = "input.columns={text:null,tags:null,image:null,sketch:null,texts:texts,music:audio,motion:motion}"
SMALL = {
    "align_dance": ["frames=30", "dim=16", "embed_dim=8", "context_length=8", "vocabulary=300"],
    "denoise_dance": ["network={frames:30,patch:2,dim:16,layers:1,heads:2,dropout:0}"],
}


def settings(stage: str, source: str, output: str, *more: str) -> Train:
    given = [
        f"stage={stage}",
        f"input.path={source}",
        f"output={output}",
        "train_where=null",
        "val_where=null",
        "optimiser.batch_size=4",
        "optimiser.passes=1",
        "optimiser.epochs=1",
        "optimiser.warmup_steps=1",
        *[f"stage.options.{option}" for option in SMALL[stage]],
        *more,
    ]
    values: Any = OmegaConf.to_container(compose_config("train", given), resolve=True)
    return build(Train, values)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Eight dances with captions, in the columns of data/dance.parquet."""
    rows = [{**row, "texts": [row["text"], "dancing"]} for row in tiny_dance.rows(8)]
    schema = tiny_dance.SCHEMA.append(pa.field("texts", pa.list_(pa.string())))
    path = tmp_path_factory.mktemp("dances") / "in.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=4)
    return str(path)


def counted(frames: int) -> dict[str, Any]:
    """A batch whose poses and music say in which frame they stand."""
    index = np.arange(frames, dtype=np.float32)
    poses = np.broadcast_to(index[:, None, None], (frames, 22, 3))
    music = np.broadcast_to(index[:, None], (frames, CHANNELS))
    return {"motion": [poses.tobytes()] * 16, "music": [music.tobytes()] * 16, "texts": ["a\nb"] * 16}


def test_music_and_motion_stay_together_however_they_are_augmented() -> None:
    rows = dances.arranged(counted(90), 30, torch.Generator().manual_seed(0))
    assert torch.allclose(rows.poses[:, :, 0, 1], rows.music[:, :, 0])
    assert torch.allclose(rows.poses[:, :, 0, 0].abs(), rows.music[:, :, 0])
    assert (rows.poses[:, 0, 0, 1] > 0).any()  # begun somewhere within
    speeds = torch.diff(rows.music[:, :, 0], dim=1)
    assert speeds.min() >= 1 / 1.3
    assert speeds.max() <= 1.3
    assert len(speeds.mean(1).unique()) > 4
    assert set(rows.texts) == {"a", "b"}


def test_validation_takes_dances_as_they_are() -> None:
    rows = dances.arranged(counted(20), 30, None)
    assert torch.equal(rows.music[0, :20, 0], torch.arange(20.0))
    assert (rows.music[0, 20:, 0] == 19).all()
    assert rows.valid.sum(1).tolist() == [20] * 16
    assert set(rows.texts) == {"a"}
    assert len(rows.songs.unique()) == 1


def test_a_sequence_that_is_played_twice_as_fast_is_half_as_long() -> None:
    line = torch.arange(61.0)[:, None, None].expand(-1, 2, 3)
    assert torch.allclose(dances.stretched(line, 2)[:, 1, 2], torch.linspace(0, 60, 30))


def test_moments_are_those_of_dances_and_their_mirror_images(source: str) -> None:
    found = dances.moments(settings("denoise_dance", source, "out", "stage.options.space=none", COLUMNS))
    poses = [torch.from_numpy(row["motion"].reshape(-1, 22, 3)) for row in tiny_dance.rows(8)]
    sides = [x for p in poses for x in (p, p[:, list(MIRRORED)] * torch.tensor([-1.0, 1, 1]))]
    features = torch.cat([representation.encode(p) for p in sides])
    assert torch.allclose(found.mean, features.mean(0), atol=1e-4)
    assert abs(float(found.mean[0])) < 1e-3  # they turn as often to the left as to the right
    lengths = torch.cat([representation.bone_lengths(p) for p in sides])
    assert (lengths.amin(0) <= found.lengths).all()
    assert (found.lengths <= lengths.amax(0)).all()
    assert torch.equal(found.lengths, found.lengths[[j - 1 for j in MIRRORED[1:]]])  # both legs are equally long


@pytest.fixture(scope="module")
def stage(source: str, tmp_path_factory: pytest.TempPathFactory) -> DanceDenoising:
    space = tiny_dance.space_folder(tmp_path_factory.mktemp("space"), seed=0)
    return DanceDenoising.create(settings("denoise_dance", source, "out", f"stage.options.space={space}"))


def some(stage: DanceDenoising) -> dances.Dances:
    poses = torch.from_numpy(np.stack([row["motion"].reshape(-1, 22, 3)[:FRAMES] for row in tiny_dance.rows(4)]))
    yes = torch.ones(4, FRAMES, dtype=torch.bool)
    return dances.Dances(poses, torch.rand(4, FRAMES, CHANNELS), yes, ["salsa"] * 4, torch.arange(4))


def test_the_exact_denoiser_has_no_loss(stage: DanceDenoising) -> None:
    rows = some(stage)
    x_0 = stage.transformer.normalise(representation.encode(rows.poses))

    def exact(*_: Any) -> torch.Tensor:
        return x_0

    t = torch.tensor([20, 200, 600, 990])
    found = stage.errors(exact, rows, t, {}, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    for name in ("features", "velocity", "bones"):
        assert float(found[name].max()) < 1e-4
    assert 0 < float(found["contact"].mean()) < 0.1  # real feet slide a little


def test_what_lies_beyond_a_dance_is_not_learnt(stage: DanceDenoising) -> None:
    rows = some(stage)
    x_0 = stage.transformer.normalise(representation.encode(rows.poses))
    wrong = x_0.clone()
    wrong[:, 20:] += 1
    valid = torch.arange(FRAMES).expand(4, -1) < 20
    assert float(losses(stage.transformer, wrong, x_0, valid)["features"].max()) == 0
    assert losses(stage.transformer, wrong, x_0, rows.valid)["features"].tolist() == pytest.approx(
        [1 / 3] * 4, abs=1e-3
    )


def test_a_foot_that_stands_must_not_move(stage: DanceDenoising) -> None:
    poses = torch.from_numpy(np.array(tiny_dance.rows(1)[0]["motion"]).reshape(-1, 22, 3)[:1]).expand(1, FRAMES, -1, -1)
    poses = poses - poses.new_tensor([0, 1, 0]) * poses[..., list(representation.FEET), 1].amin()
    x_0 = stage.transformer.normalise(representation.encode(poses))
    sliding = poses + torch.arange(FRAMES)[None, :, None, None] / FPS * poses.new_tensor([0.5, 0, 0])
    features = representation.encode(sliding)
    features[..., representation.CONTACT] = representation.encode(poses)[..., representation.CONTACT]
    found = losses(
        stage.transformer, stage.transformer.normalise(features), x_0, torch.ones(1, FRAMES, dtype=torch.bool)
    )
    stands = representation.contacts(poses)[0, 0].mean()
    assert float(found["contact"]) == pytest.approx(0.25 * float(stands), rel=0.05)  # (0.5 m/s)^2
    assert float(found["velocity"]) == pytest.approx(0.25, rel=0.05)


def test_a_batch_can_be_learnt(source: str) -> None:
    stage = DanceAlignment.create(settings("align_dance", source, "out", "stage.options.dropout=0"))
    rows = tiny_dance.rows(4)
    music = np.random.default_rng(0).random((4, FRAMES, CHANNELS)).astype(np.float32)
    batch = {
        "motion": [row["motion"].reshape(-1, 22, 3)[:FRAMES].tobytes() for row in rows],
        "music": [heard.tobytes() for heard in music],
        "texts": [f"a person dances {style}" for style in ("salsa", "modern", "pop", "tango")],
    }
    optimiser = torch.optim.Adam(stage.network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(40):
        loss = stage.loss(stage.network, batch, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert np.mean(values[-5:]) < 0.6 * np.mean(values[:3])


@pytest.mark.usefixtures("ray_session")
@pytest.mark.timeout(400)
def test_what_is_trained_on_ray_can_be_sampled_from(source: str, tmp_path: Path) -> None:
    alignment = DanceAlignment.create(settings("align_dance", source, "out"))
    alignment.save(alignment.network, space := tmp_path / "space")
    made = fit(settings("denoise_dance", source, str(tmp_path / "dance"), f"stage.options.space={space}"))
    (logged,) = (tmp_path / "dance" / "log").glob("*.json")
    drawn = {name for name in storage.read_json(str(logged)) if name.startswith("drawn.")}
    assert drawn == {f"drawn.{name}" for name in ("similarity_text", "similarity_motion", "foot_skating", "jerk")}
    with Image.open(tmp_path / "dance/samples/00001.webp") as shown:
        assert shown.size == (2 * 560, 8 * 140)  # real and drawn, side by side
    backend = MusicToDanceBackend(Files(Path(made)), "cpu", torch.float32, {"seconds": 2})
    x_0 = torch.zeros(1, *backend.latent_shape)
    assert backend.decode(x_0).shape == (1, 60, 22, 3)
    assert backend.scheduler_config["prediction_type"] == "sample"
