"""Shared by all tests: tiny models, one Ray, one S3 server."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tenacity
import torch
from s3fs import S3FileSystem
from xdist.scheduler import LoadFileScheduling

from pipeline.settings import Cluster
from tests import tiny
from tests.proxy import Proxy, proxied
from tests.s3 import free_port, seaweed

torch.set_num_threads(1)


class OneRay(LoadFileScheduling):
    """What `make test` gives to one of its two processes as a whole: the files that share Ray, and each other file."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ray" if "ray_session" in Path(self.config.rootpath, file).read_text("utf-8") else file


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRay:
    return OneRay(config, log)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny random generator and judge."""
    root = tmp_path_factory.mktemp("models")
    clip = tiny.clip_folder(root / "clip", seed=0)
    return {
        "clip": str(clip),
        "path": str(tiny.generator_folder(root / "generator", clip)),
        "judge": str(tiny.clip_folder(root / "judge", seed=1)),
    }


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Parquet file of 24 paired rows."""
    return str(tiny.write(tmp_path_factory.mktemp("input") / "pairs.parquet", tiny.rows(24)))


@pytest.fixture(scope="session")
def ray_session(s3: str) -> Iterator[None]:
    """The one Ray of the test session, started after S3 so that its workers have the AWS variables."""
    with contextlib.ExitStack() as stack:
        _connect(stack)
        yield


@tenacity.retry(stop=tenacity.stop_after_attempt(3), reraise=True)
def _connect(stack: contextlib.ExitStack) -> None:
    """Ray gives its own start 30 s: a busy machine may need more."""
    from pipeline import cluster

    stack.enter_context(cluster.connected(Cluster(address=None, object_store_bytes=200_000_000)))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """URI of a bucket on a real S3 server, with AWS variables set for this process and its children."""
    with seaweed() as variables:
        bucket = variables.pop("BUCKET")
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        yield f"s3://{bucket}"
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture
def proxy(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The test session's S3 server behind a proxy, to which the AWS variables lead for the time of the test."""
    target = int(os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
    with proxied(free_port(), target) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        S3FileSystem.clear_instance_cache()
        yield server
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh prefix: local, or on S3 where a test asks for `indirect` parameter "s3"."""
    if getattr(request, "param", "local") == "local":
        return str(tmp_path)
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
