"""`ray job submit` against a `ray start --head`, as the README shows it."""

import contextlib
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

from pipeline import audit, ledger
from tests import make
from tests.s3 import free_port

ROOT = Path(__file__).resolve().parent.parent
RAY = str(Path(sys.executable).with_name("ray"))


@contextlib.contextmanager
def head(environment: dict[str, str]) -> Iterator[str]:
    """A head node of our own; its dashboard's address."""
    port, dashboard, agent, client = (free_port() for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        command = [
            *[RAY, "start", "--head", "--block", f"--port={port}", f"--temp-dir={folder}", "--num-cpus=2"],
            *[f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1", "--object-store-memory=200000000"],
            *[f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}", "--disable-usage-stats"],
        ]
        log = Path(folder) / "head.log"
        with log.open("w") as output:
            node = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
        try:
            _wait(f"http://127.0.0.1:{dashboard}/api/version", node, log)
            yield f"http://127.0.0.1:{dashboard}"
        finally:
            node.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)
            node.wait()


def _wait(url: str, node: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and node.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2)
            return
        time.sleep(0.5)
    raise RuntimeError(f"the head node did not start: {log.read_text()[-2000:]}")


@pytest.mark.timeout(420)
def test_a_submitted_job_does_the_same(models: dict[str, str], pairs: str, tmp_path: Path) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("RAY_")},
        "RAY_AUTH_MODE": "disabled",
        "PIPELINE_OUTPUT_ROOT": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    arguments = make.arguments(models, pairs, "runs/submitted", "limit=8")
    with head(environment) as address:
        submit = [RAY, "job", "submit", "--address", address, "--working-dir", ".", "--", "python", "jobs/generate.py"]
        for _ in range(30):  # the dashboard answers before its agent does
            submitted = subprocess.run([*submit, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
            if "No available agent" not in submitted.stderr:
                break
            time.sleep(2)
    assert submitted.returncode == 0, submitted.stdout[-3000:] + submitted.stderr[-3000:]
    place = str(tmp_path / "runs/submitted")
    assert f"{place}/report/index.html" in submitted.stdout
    plan = ledger.load(place)
    assert plan is not None
    assert audit.audit(place, plan).holds
    assert (plan.rows, plan.shards) == (8, 2)
    assert Path(place, "_SUCCESS").exists()
