import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.adopt import adopt_or_make
from pipeline.report import facts
from pipeline.report.page import write_report
from tests import make, tiny
from tests.test_stages import HASHES, bad_rows, run

Models = dict[str, str]


BALANCED = ("div", "table", "figure", "details", "section", "button", "svg", "form", "dialog", "pre", "nav")


class Page(HTMLParser):
    """Sources of pictures, and the depth of tags that must balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values["src"] or "")
        self.links += [v for k, v in values.items() if k in ("href", "src") and v and not v.startswith(("data:", "#"))]
        if tag in BALANCED:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in BALANCED:
            assert self.open.pop() == tag


def test_the_page_is_whole_self_contained_and_true(models: Models, tmp_path: Path) -> None:
    rows = bad_rows()
    rows[0]["text"] = "<script>alert(1)</script>"
    source = tiny.write(tmp_path / "in.parquet", rows)
    settings = make.generate(models, str(source), str(tmp_path / "out"), "sweep.guidance.text=[1,4]", "num_samples=2")
    run(settings)
    path = write_report(settings.output, adopt_or_make(settings, HASHES))
    text = Path(path).read_text()
    page = Page(text)
    assert not page.open
    assert not page.links
    assert all(src.startswith(("data:image/webp;base64,", "data:,")) for src in page.images)
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("<script>") == 1
    body = json.loads((tmp_path / "out" / "report" / "figures.json").read_text())
    assert body["rows"] == {"planned": 32, "ok": 12, "failed": 20}
    assert body["failures"] == {"decode: MediaError": 20}
    assert body["scores"]["clip_text"]["text=1"]["n"] == 6
    assert set(body["seconds"]) == {"encode", "sample", "finish"}
    assert "text=4" in text
    assert HASHES[0]["judge"] in text


def test_a_run_of_failures_alone_still_has_a_page(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", [bad_rows()[3]])
    settings = make.generate(models, str(source), str(tmp_path / "out"))
    run(settings)
    text = Path(write_report(settings.output, adopt_or_make(settings, HASHES))).read_text()
    assert "none of its conditions" in text


def test_the_contact_sheet_is_spread_over_the_run(
    models: Models, pairs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "SHOWN_INPUTS", 4)
    settings = make.generate(models, pairs, str(tmp_path))
    run(settings)
    found = facts.gather(settings.output, adopt_or_make(settings, HASHES))
    assert [i["source_id"] for i in found.sheet] == ["box-000", "box-006", "box-012", "box-018"]
    best, worst = ([r["scores"]["clip_text"] for r in rows] for rows in (found.best, found.worst))
    assert best == sorted(best, reverse=True)
    assert worst == sorted(worst)
    assert best[0] >= best[-1] >= worst[-1] >= worst[0]


@pytest.mark.parametrize("role", ["text", "sketch", "image"])
def test_a_run_without_a_modality_has_a_page(models: Models, pairs: str, tmp_path: Path, role: str) -> None:
    settings = make.generate(models, pairs, str(tmp_path), f"input.columns.{role}=null", "limit=2")
    run(settings)
    assert "Contact sheet" in Path(write_report(settings.output, adopt_or_make(settings, HASHES))).read_text()


def test_a_page_can_be_written_when_the_input_is_gone(models: Models, tmp_path: Path) -> None:
    source = tiny.write(tmp_path / "in.parquet", tiny.rows(2))
    settings = make.generate(models, str(source), str(tmp_path / "out"))
    run(settings)
    made = adopt_or_make(settings, HASHES)
    source.unlink()
    assert "(no text)" in Path(write_report(settings.output, made)).read_text()


def test_a_score_may_be_best_when_low(models: Models, pairs: str, tmp_path: Path) -> None:
    settings = make.generate(models, pairs, str(tmp_path), "task.best_by='-delta_e'", "limit=6")
    run(settings)
    found = facts.gather(settings.output, adopt_or_make(settings, HASHES))
    best = [r["scores"]["delta_e"] for r in found.best]
    assert best == sorted(best)
