"""Put: the output rows of a shard as one object, create-only. The last step, and the only one that others see."""

import collections
import json

import pyarrow as pa
import pyarrow.compute as pc

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
        row = {"shard": shard, "ok": table.num_rows - failed, "failed": failed, "kept": _kept(table), "put": put}
        return pa.Table.from_pylist([{**row, "bytes": len(data)}], schema.MANIFEST)


def _kept(table: pa.Table) -> int:
    """Rows that a language model could not help, and that went well all the same."""
    if "enrich_error" not in table.column_names:
        return 0
    return int(pc.sum(pc.and_(table["enrich_error"].is_valid(), table["error"].is_null())).as_py() or 0)
