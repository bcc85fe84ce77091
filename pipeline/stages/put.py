"""Put: the output rows of a shard as one object, create-only. The last step, and the only one that others see."""

import collections
import json

import pyarrow as pa

from pipeline import ledger, metrics, schema, storage
from pipeline.stages import Job


class Put:
    """Callable on the table that `Finish` made; gives one row of schema.MANIFEST."""

    def __init__(self, job: Job) -> None:
        self.output = job.settings.output

    def __call__(self, table: pa.Table) -> pa.Table:
        """Put the shard's object. An object that another run put first stays as it is."""
        facts = json.loads(table.schema.metadata[b"run"])
        shard = facts["shard"]
        data = storage.to_parquet(table)
        put = storage.put_new(ledger.shard_uri(self.output, shard), data)
        errors = [e for e in table["error"].to_pylist() if e]
        failed = len(errors)
        if put:
            reasons = collections.Counter((e["stage"], e["kind"]) for e in errors)
            metrics.count_shard(facts["seconds"], table.num_rows - failed, failed, reasons)
        row = {"shard": shard, "ok": table.num_rows - failed, "failed": failed, "put": put, "bytes": len(data)}
        return pa.Table.from_pylist([row], schema.MANIFEST)
