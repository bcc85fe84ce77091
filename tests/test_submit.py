"""`ray job submit` against a `ray start --head`, as the README shows it; then on two nodes that share only S3."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import audit, ledger, run, storage
from tests import make
from tests.s3 import free_port
from tests.test_stages import run as stages

ROOT = Path(__file__).resolve().parent.parent
RAY = str(Path(sys.executable).with_name("ray"))


@contextlib.contextmanager
def started(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node of our own, in a working directory of its own."""
    folder.mkdir()
    with (folder / "node.log").open("w") as log:
        node = subprocess.Popen(
            [RAY, "start", "--block", "--disable-usage-stats", "--object-store-memory=100000000", *command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield node
    finally:
        node.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()


@pytest.fixture
def environment(s3: str, tmp_path: Path) -> dict[str, str]:
    """Of nodes and jobs: the AWS variables of `s3`, nothing of this process's own Ray."""
    (tmp_path / "notes/samplers").mkdir(parents=True)
    (tmp_path / "notes/worked").mkdir()
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "RAY_AUTH_MODE": "disabled",
        "PIPELINE_OUTPUT_ROOT": str(tmp_path),
        "FAULTS_DIR": str(tmp_path / "notes"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def submit(address: str, environment: dict[str, str], arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """`ray job submit` with these arguments of jobs/generate.py."""
    command = [RAY, "job", "submit", "--address", address, "--working-dir", ".", "--", "python", "jobs/generate.py"]
    for _ in range(30):  # the dashboard answers before its agent does
        submitted = subprocess.run([*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
        if "No available agent" not in submitted.stderr:
            break
        time.sleep(2)
    return submitted


def upload(folder: str, uri: str) -> str:
    """A folder's files, on the store."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            storage.put(f"{uri}/{path.relative_to(folder)}", path.read_bytes())
    return uri


def join(
    stack: contextlib.ExitStack, command: list[str], environment: dict[str, str], folder: Path, url: str, nodes: int
) -> None:
    """Start a node, so that there are so many; again if it dies, as on a busy machine: Ray gives its agent 15 s."""
    for attempt in range(3):
        place = folder.with_name(f"{folder.name}-{attempt}")
        node = stack.enter_context(started(command, environment, place))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and node.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                found = json.load(urllib.request.urlopen(f"{url}/nodes?view=summary", timeout=5))
                if sum(n["raylet"].get("state") == "ALIVE" for n in found["data"]["summary"]) >= nodes:
                    return
            time.sleep(0.5)
    raise RuntimeError(f"a node did not start: {(place / 'node.log').read_text()[-2000:]}")


def holds(place: str, rows: int) -> bool:
    plan = ledger.load(place)
    finished = storage.stat_or_none(ledger.success_uri(place)) is not None
    return plan is not None and plan.rows == rows and finished and audit.audit(place, plan).holds


@pytest.mark.timeout(600)
def test_a_submitted_job_does_the_same(
    models: dict[str, str], pairs: str, s3: str, environment: dict[str, str], tmp_path: Path
) -> None:
    port, dashboard, agent, client = (free_port() for _ in range(4))
    url = f"http://127.0.0.1:{dashboard}"
    place = str(tmp_path / "runs/submitted")
    done = make.generate(models, pairs, place, "limit=8")
    stages(done, weights=run.fingerprints(done))  # in this process: a job on both nodes, below, is enough of a wait
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True))
        own = [f"--port={port}", f"--temp-dir={folder}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"]
        own += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
        join(stack, ["--head", "--num-cpus=1", *own], environment, tmp_path / "head", url, nodes=1)
        submitted = submit(url, environment, make.arguments(models, pairs, "runs/submitted", "limit=8"))
        assert submitted.returncode == 0, submitted.stdout[-3000:] + submitted.stderr[-3000:]
        assert f"{place}/report/index.html" in submitted.stdout
        assert holds(place, rows=8)

        more = [f"--address=127.0.0.1:{port}", "--num-cpus=1", f"--dashboard-agent-listen-port={free_port()}"]
        join(stack, more, environment, tmp_path / "second", url, nodes=2)
        remote = {name: upload(models[name], f"{s3}/submit/{name}") for name in ("path", "judge")}
        storage.put(f"{s3}/submit/pairs.parquet", Path(pairs).read_bytes())
        place = f"{s3}/submit/out"
        shared = make.arguments(remote, f"{s3}/submit/pairs.parquet", place, "task.backend=tests.slow:Pair", "limit=8")
        nodes = tmp_path / "notes/worked"
        submitted = submit(url, environment, [*shared, "actors.samplers=2", "shard_rows=1", "batch_size=1"])
        assert submitted.returncode == 0, submitted.stdout[-3000:] + submitted.stderr[-3000:]
        assert holds(place, rows=8)
        assert len(list(nodes.iterdir())) == 2  # both nodes sampled
