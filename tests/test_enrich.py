"""Stage enrich in its place among the others, without Ray: variants, failures, and the bytes that must not change."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import checks, enrichment, ledger, run
from pipeline.adopt import adopt_or_make
from pipeline.export import export
from pipeline.patience import StorageError
from pipeline.settings import Export, Generate, RunError, SettingsError
from pipeline.stages import Job
from pipeline.stages.encode import Encode
from pipeline.stages.enrich import Enrich, split
from pipeline.stages.finish import Finish
from pipeline.stages.guard import Guard
from pipeline.stages.load import PLANNED, Load
from pipeline.stages.put import Put
from pipeline.stages.sample import Sample
from tests import language, make, tiny
from tests.language import Answer, caption, said, serving

Models = dict[str, str]


def generated(settings: Generate) -> list[dict[str, Any]]:
    """The output rows of all shards, by all stages."""
    checks.check(settings)
    weights = run.fingerprints(settings)
    plan = adopt_or_make(settings, weights)
    job = Job(settings, weights[0])
    enriching = [Enrich] if settings.enrich.model else []
    stages = [Load, *enriching, Encode, Sample, Finish, Put]
    made = [stage(job) if stage in (Load, Put) else Guard(stage.__name__.lower(), stage(job), job) for stage in stages]
    for shard in range(plan.shards):
        block = pa.table({"shard": pa.array([shard], pa.int32())})
        for stage in made:
            block = stage(block)
    return [row for o in ledger.data_objects(settings.output) for row in pq.read_table(o.uri).to_pylist()]


def enriched(models: Models, pairs: str, output: str, endpoint: str, *more: str) -> list[dict[str, Any]]:
    return generated(
        make.generate(
            models,
            pairs,
            output,
            "limit=4",
            "enrich.model=tiny",
            f"enrich.endpoint={endpoint}",
            "enrich.tries=1",
            *more,
        )
    )


def test_split_gives_each_variant_its_samples_and_loses_none() -> None:
    planned = [
        [
            {"row_id": f"{i}-{cell}-{k}", "cell": cell, "sample_index": k, "seed": k}
            for cell in ("a", "b")
            for k in range(5)
        ]
        for i in range(3)
    ]
    block = pa.table({"source_id": ["x", "y", "z"], "planned": pa.array(planned, PLANNED)})
    for variants in (1, 2, 3, 5):
        rows = split(block, variants).to_pylist()
        assert [r["source_id"] for r in rows] == [s for s in "xyz" for _ in range(variants)]
        assert all(p["sample_index"] % variants == i % variants for i, r in enumerate(rows) for p in r["planned"])
        found = sorted(p["row_id"] for r in rows for p in r["planned"])
        assert found == sorted(p["row_id"] for own in planned for p in own)


def test_variants_become_samples_with_texts_of_their_own(models: Models, pairs: str, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        said_before = Counter(map(caption, server.bodies))[caption(body)]
        return said(f"{tiny.COLOURS[said_before]} {caption(body)}")

    more = ("num_samples=4", "enrich.variants=2", "sweep.steps=[2,3]", "enrich.concurrency=1")
    with serving(answer) as server:
        rows = enriched(models, pairs, str(tmp_path / "a"), server.endpoint, *more)
    assert len(server.bodies) == 4 * 2
    assert len(rows) == 4 * 4 * 2
    given = {r["id"]: r["text"] for r in tiny.rows(4)}
    by_text: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        assert row["status"] == "ok"
        assert row["original"] == given[row["source_id"]]
        assert row["enriched"].endswith(" " + row["original"])
        assert row["enrich_error"] is None
        first = by_text.setdefault((row["source_id"], row["sample_index"] % 2), row)
        assert row["enriched"] == first["enriched"]  # in all cells
        assert row["input_embeddings"] == first["input_embeddings"]
    for source in given:
        one, other = by_text[source, 0], by_text[source, 1]
        assert one["enriched"] != other["enriched"]
        assert one["input_embeddings"]["sketch"] == other["input_embeddings"]["sketch"]
        texts = [np.array(r["input_embeddings"]["text"], np.float32) for r in (one, other)]
        assert np.abs(texts[0] - texts[1]).max() > 0.01
        scores = [r["scores"]["clip_text"] for r in rows if r["source_id"] == source]
        assert len(set(scores)) == 8


def test_results_are_those_of_inputs_that_say_so_themselves(models: Models, tmp_path: Path) -> None:
    rows = tiny.rows(4)
    told = [{**r, "text": f"the {r['text']}"} for r in rows]
    one, other = (str(tiny.write(tmp_path / n / "in.parquet", r)) for n, r in (("a", rows), ("b", told)))
    with serving(lambda body: said("the " + caption(body))) as server:
        made = enriched(models, one, str(tmp_path / "a"), server.endpoint)
    plain = generated(make.generate(models, other, str(tmp_path / "b")))
    for name in ("source_id", "seed", "image", "embedding", "input_embeddings", "scores", "present"):
        assert [r[name] for r in made] == [r[name] for r in plain]
    assert {r["row_id"] for r in made}.isdisjoint(r["row_id"] for r in plain)
    assert made[0]["provenance"]["language"] == "tiny"
    assert not set(plain[0]) & {"original", "enriched", "enrich_error"}


def bad(path: Path) -> str:
    rows = tiny.rows(4)
    rows[1]["text"], rows[2]["text"] = None, "x" * 20_000
    return str(tiny.write(path, rows))


@pytest.mark.parametrize("policy", ["keep", "fail"])
def test_a_refused_text_is_kept_or_fails_its_row_alone(policy: str, models: Models, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return (400, b"too long") if "red" in caption(body) else said("the " + caption(body))

    pairs = bad(tmp_path / "in.parquet")
    with serving(answer) as server:
        rows = enriched(models, pairs, str(tmp_path / "out"), server.endpoint, f"enrich.on_failure={policy}")
    assert len(server.bodies) == 2
    refused, missing, long, fine = rows
    assert refused["enrich_error"] == "400: too long"
    assert refused["original"] == "a red box"
    if policy == "keep":
        assert (refused["status"], refused["enriched"]) == ("ok", "a red box")
    else:
        assert refused["error"] == {"stage": "enrich", "kind": "RefusalError", "message": "400: too long"}
        assert (refused["status"], refused["enriched"]) == ("failed", None)
    assert (missing["status"], missing["original"], missing["enriched"]) == ("ok", None, None)
    assert missing["present"] == {"text": False, "sketch": True, "image": True}
    assert (long["error"]["stage"], long["error"]["kind"]) == ("decode", "MediaError")
    assert (fine["status"], fine["enriched"]) == ("ok", "the a yellow box")


def test_a_server_that_is_down_puts_nothing_and_the_same_command_goes_on(
    models: Models, pairs: str, tmp_path: Path
) -> None:
    output = str(tmp_path / "out")
    with pytest.raises(StorageError, match="does not answer, 1 times"):
        enriched(models, pairs, output, "http://127.0.0.1:9/v1")
    assert not ledger.done(output)
    with serving(lambda _: (404, b"no such model")) as server, pytest.raises(RunError, match="answers 404"):
        enriched(models, pairs, output, server.endpoint)
    with serving(lambda body: said("the " + caption(body))) as server:  # elsewhere now, which changes nothing
        assert [r["status"] for r in enriched(models, pairs, output, server.endpoint)] == ["ok"] * 4


def test_what_decides_the_texts_is_part_of_the_run(models: Models, pairs: str, tmp_path: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_text("say {text}")
    output = str(tmp_path / "out")
    more = ("enrich.model=tiny", "enrich.endpoint=http://x/v1", f"enrich.template={template}")
    settings = make.generate(models, pairs, output, *more)
    plan = adopt_or_make(settings, run.fingerprints(settings))
    places = {"model": "tiny", "endpoint": "http://x/v1", "template": str(template)}
    assert plan.places == {f"enrich.{key}": place for key, place in places.items()}
    for changed, key in (("enrich.temperature=0.1", "enrich.temperature"), ("enrich.model=other", "enrich.model")):
        other = make.generate(models, pairs, output, *more, changed)
        with pytest.raises(SettingsError, match=key):
            adopt_or_make(other, run.fingerprints(other))
    job = Job(settings, run.fingerprints(settings)[0])
    template.write_text("tell {text}")
    with pytest.raises(SettingsError, match=r"enrich.template"):
        adopt_or_make(settings, run.fingerprints(settings))
    with pytest.raises(StorageError, match="has changed since the run was planned"):
        Enrich(job)


def test_early_checks_know_the_task(models: Models) -> None:
    base = ("enrich.model=tiny", "enrich.endpoint=http://x/v1")
    with pytest.raises(SettingsError, match="no condition of task=sketch_to_image is text"):
        checks.check(make.generate(models, "in", "out", *base, "task.conditions=[sketch]"))
    with pytest.raises(SettingsError, match="input.keep=original: the output has a column of that name"):
        checks.check(make.generate(models, "in", "out", *base, "input.keep=[original]"))
    checks.check(make.generate(models, "in", "out", "input.keep=[original]"))
    assert enrichment.text_role(make.task("music_to_dance")) == "text"


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_session")
def test_a_run_with_a_real_server_is_continued_without_it(models: Models, pairs: str, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    folder = language.folder(tmp_path / "language")
    more = ("limit=5", "num_samples=2", "enrich.variants=2", f"enrich.model={folder}", "enrich.temperature=1")
    with language.transformers_serve(folder) as endpoint:
        settings = make.generate(models, pairs, output, *more, f"enrich.endpoint={endpoint}", "enrich.max_tokens=200")
        page = Path(run.generate(settings))
    before = {o.uri: pq.read_table(o.uri) for o in ledger.data_objects(output)}
    rows = [row for table in before.values() for row in table.to_pylist()]
    assert len(rows) == 10
    assert {(r["status"], r["enrich_error"]) for r in rows} == {("ok", None)}
    assert all(set(r["enriched"].split()) <= set(language.WORDS) for r in rows)
    texts = {r["original"] for r in rows}
    assert len({r["enriched"] for r in rows}) == 2 * len(texts) == 10
    shown = page.read_text()
    assert rows[0]["enriched"] in shown
    assert f"enrich.model={folder}" in shown  # the command that repeats it
    assert f"enrich.endpoint={endpoint}" in shown
    facts = [ledger.shard_facts(uri) for uri in before]
    assert sum(f["asked"] for f in facts) == 10
    assert all("enrich" in f["seconds"] for f in facts)

    ledger.reopen(output, [0, 1])  # the server is gone, the texts are not
    assert Path(run.generate(settings)) == page
    assert {o.uri: pq.read_table(o.uri) for o in ledger.data_objects(output)} == before
    assert all(ledger.shard_facts(uri)["asked"] == 0 for uri in list(before)[:2])

    export(Export(output, str(tmp_path / "pairs"), "parquet", 100))
    pairs_made = pq.read_table(tmp_path / "pairs" / "part-00000.parquet").to_pylist()
    assert {(r["id"], r["text"], r["original"]) for r in pairs_made} == {
        (r["row_id"], r["enriched"], r["original"]) for r in rows
    }


def test_a_model_of_a_folder_says_the_same_in_every_run(models: Models, pairs: str, tmp_path: Path) -> None:
    folder = language.folder(tmp_path / "language")
    more = ("limit=6", f"enrich.model={folder}", "enrich.temperature=1", "enrich.max_tokens=200")
    one = generated(make.generate(models, pairs, str(tmp_path / "a"), *more))
    other = generated(make.generate(models, pairs, str(tmp_path / "b"), *more, "shard_rows=6"))
    assert all(set(r["enriched"].split()) <= set(language.WORDS) for r in one)
    assert [r["enriched"] for r in one] == [r["enriched"] for r in other]
    assert len(one[0]["provenance"]["language"]) == 32
