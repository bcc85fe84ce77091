"""The fault campaign: python -m tests.campaign FOLDER writes FOLDER/faults.md, the verdicts beside it.

Six runs, three into local files and three into a real S3 server behind a proxy, each with all kinds of faults at
seeded random moments. Much of a run is waiting (for a row that hangs, for a store that is away), so both stores have
their turn at once, each with a cluster and a process of its own: python -m tests.campaign FOLDER STORE. Exit code 0
exactly if no run lost, doubled or changed a row.
"""

import collections
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pipeline import ledger, storage
from tests import saboteur
from tests.faults import ROOT, Event, Run, Site, reference, site, worked
from tests.proxy import KINDS as STORE_KINDS
from tests.proxy import proxied
from tests.s3 import free_port, seaweed
from tests.test_end_to_end import results

SEEDS = (0, 1, 2)
INPUTS = 96
STORES = ("local", "s3")
FIRST = ["node added", "sampler killed", "killed in a put", "node killed"]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a run, from its objects."""

    store: str
    seed: int
    planned: int
    lost: int
    doubled: int
    wrong: int
    seconds: float
    events: Sequence[Event]
    broken: Sequence[str]  # what faults should have shown, and did not

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled or changed, and every fault was felt."""
        return not (self.lost or self.doubled or self.wrong or self.broken)


@contextmanager
def world() -> Iterator[tuple[Site, dict[str, str]]]:
    """(a site, store -> where its runs go), with AWS variables that lead through the proxy."""
    with ExitStack() as stack:
        variables = stack.enter_context(seaweed())
        target = int(variables["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
        proxy = stack.enter_context(proxied(free_port(), target))
        os.environ |= {**variables, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}"}
        built = stack.enter_context(site(proxy))
        yield built, {"local": str(built.folder), "s3": f"s3://{variables['BUCKET']}/faults"}


def campaign(built: Site, root: str, seed: int, whole: Mapping[str, Mapping[str, object]]) -> Verdict:
    """One run with all kinds of faults."""
    began, run = time.monotonic(), Run(built, root, seed, INPUTS)
    built.ready()
    run.poison(list(saboteur.POISONS))
    broken = list(STORE_KINDS) if run.store == "s3" else []
    run.session([*FIRST, *broken[:3], "driver killed"])
    if run.store == "s3":
        run.session(["outage"], "actors.samplers=1")
    run.session(["second run", *broken[3:], "SIGTERM"], "actors.samplers=1")  # each
    return judge(run, whole, time.monotonic() - began)


def judge(run: Run, whole: Mapping[str, Mapping[str, object]], seconds: float) -> Verdict:
    """Hold the objects of a run against its plan and against a run without faults."""
    rows = [r for o in ledger.data_objects(run.output) for r in _rows(o.uri)]
    seen = collections.Counter(str(r["row_id"]) for r in rows)
    failed = {str(r["source_id"]): r["error"]["kind"] for r in rows if r["status"] == "failed"}
    found = results(run.output)
    wrong = [i for i, r in found.items() if r["image"] is not None and r != whole.get(i)]
    broken = [f"failed rows {failed}, not {run.poisoned}"] if failed != run.poisoned else []
    broken += [f"{e.kind}: nothing worked on it" for e in run.events if e.kind == "node added" and not worked(e.note)]
    if run.site.proxy is not None:
        broken += [f"{f.kind} struck no request" for f in run.site.proxy.faults if not f.struck]
        run.site.proxy.faults.clear()
    command = [sys.executable, "jobs/verify.py", f"run={run.output}"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    broken += [] if said.returncode == 0 else [f"verify: {said.stderr[-500:]}"]
    doubled, lost = sum(n - 1 for n in seen.values()), len(set(whole) - set(seen))
    return Verdict(
        run.store, run.seed, len(whole), lost, doubled, len(wrong), seconds, tuple(run.events), tuple(broken)
    )


def _rows(uri: str) -> list[dict[str, Any]]:
    with storage.open_parquet(uri) as parquet:
        found: list[dict[str, Any]] = parquet.read(columns=["row_id", "source_id", "status", "error"]).to_pylist()
    return found


def table(verdicts: Sequence[Verdict]) -> str:
    """Kind x outcome, as Markdown."""
    counts = collections.Counter((e.kind, v.store) for v in verdicts for e in v.events)
    kinds = sorted({kind for kind, _ in counts})
    lines = ["| fault | local files | S3 |", "| --- | --- | --- |"]
    lines += [f"| {k} | {counts[k, 'local'] or '–'} | {counts[k, 's3'] or '–'} |" for k in kinds]
    total = {s: sum(n for (_, store), n in counts.items() if store == s) for s in STORES}
    lines += [f"| **all** | **{total['local']}** | **{total['s3']}** |"]
    for what in ("lost", "doubled", "wrong"):
        by = {s: sum(getattr(v, what) for v in verdicts if v.store == s) for s in STORES}
        lines += [f"| rows {what} | {by['local']} | {by['s3']} |"]
    planned = {s: sum(v.planned for v in verdicts if v.store == s) for s in STORES}
    return "\n".join([*lines, f"| rows planned | {planned['local']} | {planned['s3']} |", ""])


def write(place: Path, store: str, verdicts: Sequence[Verdict]) -> None:
    """The verdicts of a store as JSON."""
    place.mkdir(parents=True, exist_ok=True)
    values = [dataclasses.asdict(v) for v in verdicts]
    (place / f"{store}.json").write_text(json.dumps(values, indent=1) + "\n", "utf-8")


def read(place: Path, store: str) -> list[Verdict]:
    """What `write` wrote."""
    found = json.loads((place / f"{store}.json").read_text("utf-8"))
    return [Verdict(**{**v, "events": [Event(**e) for e in v["events"]]}) for v in found]


def one(place: Path, store: str) -> int:
    """The runs into one store; the exit code."""
    began, verdicts = time.monotonic(), []
    with world() as (built, roots):
        whole = reference(built, INPUTS)
        for seed in SEEDS:
            verdicts.append(campaign(built, roots[store], seed, whole))
            write(place, store, verdicts)  # what is known by now
            print(f"{time.monotonic() - began:5.0f} s: {verdicts[-1]}", file=sys.stderr, flush=True)
    return 0 if all(v.good for v in verdicts) else 1


def both(place: Path) -> int:
    """The runs into all stores, and the table; the exit code."""
    began = time.monotonic()
    own = [subprocess.Popen([sys.executable, "-m", "tests.campaign", str(place), store]) for store in STORES]
    codes = [process.wait() for process in own]
    if any(codes):
        return 1
    verdicts = [v for store in STORES for v in read(place, store)]
    (place / "faults.md").write_text(table(verdicts), "utf-8")
    print(table(verdicts))
    print(f"{sum(len(v.events) for v in verdicts)} faults in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(place / "faults.md")
    return 0


if __name__ == "__main__":
    sys.exit(one(Path(sys.argv[1]), sys.argv[2]) if sys.argv[2:] else both(Path(sys.argv[1])))
