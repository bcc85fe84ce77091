"""What an evaluation refuses to begin with: more groups than memory bears, a run without results."""

from pathlib import Path

import pytest

from pipeline import audit
from pipeline.adopt import adopt_or_make
from pipeline.evaluation import aggregate, stream
from pipeline.run import fingerprints
from pipeline.settings import SettingsError
from tests import make, synthetic, tiny
from tests.test_stages import bad_rows, run

Models = dict[str, str]


def test_too_many_groups_are_refused_naming_the_column_that_makes_them(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, _ = synthetic.run(models, tmp_path, 12, synthetic.by_text, "sweep.steps=[1,2]", "input.keep=[group]")
    monkeypatch.setattr(stream, "MOST_GROUPS", 24)
    assert "in-00011 steps=2" in aggregate.evaluate(make.evaluate(output, "by=[source_id,cell]"))
    monkeypatch.setattr(stream, "MOST_GROUPS", 23)
    with pytest.raises(
        SettingsError, match=r"by=\[group,source_id,cell\].*leave out source_id, which has 12"
    ) as caught:
        aggregate.evaluate(make.evaluate(output, "by=[group,source_id,cell]"))
    assert "\n" not in str(caught.value)


def test_groups_of_several_pieces_are_counted_together() -> None:
    bound = stream.Bound(["cell"])
    bound.meet((str(g),) for g in range(stream.MOST_GROUPS))
    bound.meet([("0",)])
    with pytest.raises(SettingsError, match="by="):
        bound.meet([("one more",)])


def test_a_run_of_failures_alone_has_nothing_to_evaluate(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", [bad_rows()[3]])
    settings = make.generate(models, str(source), str(tmp_path / "out"))
    weights = fingerprints(settings)
    run(settings, weights=weights)
    audit.write_success(settings.output, audit.audit(settings.output, adopt_or_make(settings, weights)), {})
    for more in ([], ["by=[]"]):
        with pytest.raises(SettingsError, match="has no result to evaluate: all its rows failed"):
            aggregate.evaluate(make.evaluate(settings.output, *more))
