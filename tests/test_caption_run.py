"""Pictures that have no text: a run that captions them, its report, and the rows that get its captions."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import ledger, run
from pipeline.datasets.captioned import from_run
from pipeline.settings import Prepare, Raw, Source
from tests import captioners, make, tiny

pytestmark = pytest.mark.timeout(600)


def test_a_run_captions_pictures_and_rows_without_text_get_them(
    models: dict[str, str], tmp_path: Path, ray_session: None
) -> None:
    rows = tiny.rows(8)
    for row in rows[:4]:
        row["text"] = None
    rows[4]["image"] = None  # nothing to caption: this row fails
    pairs = tiny.write(tmp_path / "in.parquet", rows)
    captioner = captioners.folder("vision-encoder-decoder", tmp_path)
    given = ("task=caption", "num_samples=2", "task.options.temperature=1.0", "failures.max_fraction=0.5")
    output = str(tmp_path / "run")
    page = run.generate(make.generate({**models, "path": str(captioner)}, str(pairs), output, *given))
    found = [row for o in ledger.data_objects(output) for row in pq.read_table(o.uri).to_pylist()]
    assert len(found) == 16
    assert {row["source_id"] for row in found if row["status"] == "failed"} == {rows[4]["id"]}
    said_of = sorted((row for row in found if row["caption"]), key=lambda row: row["scores"]["similarity_image"])
    best = {row["source_id"]: row for row in said_of}  # the most similar comes last
    assert len(best) == 7
    assert all(0 <= row["scores"]["word_f1"] <= 1 for source, row in best.items() if source > rows[4]["id"])
    shown = Path(page).read_text()
    assert all(row["caption"] in shown for row in best.values() if row["caption"].isalnum())
    assert "guidance none" not in shown  # there is no loop that could be guided

    options = {"run": output, "confidence": None, "text": "text", "id": "id"}
    table = from_run(Prepare(Source("captioned", "", options), Raw(str(pairs)), str(tmp_path / "out"), 4))
    for row, filled in zip(rows[:4], table.slice(0, 4).to_pylist(), strict=True):
        caption = best[str(row["id"])]
        assert (filled["text"], filled["text_source"]) == (caption["caption"], "captioner")
        assert filled["confidence"] == pytest.approx(caption["scores"]["similarity_image"], abs=1e-6)
    assert table["text"].to_pylist()[4:] == [row["text"] for row in rows[4:]]
    sure = sorted(table["confidence"].to_pylist()[:4])
    fewer = {**options, "confidence": sure[2]}
    table = from_run(Prepare(Source("captioned", "", fewer), Raw(str(pairs)), str(tmp_path / "out"), 4))
    assert table["text_source"].to_pylist().count("captioner") == 2
