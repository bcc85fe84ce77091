"""The page in a real browser: no console error, pictures load, filter and zoom work, 10,000 rows are no burden."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.page import write_report
from tests import synthetic

CHROMIUM = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

GRID = ("sweep.guidance.text=[1,2,4]", "sweep.guidance.sketch=[0,2]", "input.keep=[group]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(*synthetic.run(models, tmp_path_factory.mktemp("page"), 30, synthetic.by_text, *GRID))


def opened(browser: Any, path: str, **options: Any) -> tuple[Any, list[str]]:
    """A loaded page, and what its console complains of."""
    page, said = browser.new_page(**options), []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    page.on("requestfailed", lambda r: said.append(r.url[:100]))
    page.goto(f"file://{path}", wait_until="load")
    return page, said


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_it_loads_without_complaint_and_fits(browser: Any, written: str, width: int, scheme: Any) -> None:
    page, said = opened(browser, written, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.images].every(i => i.complete)")
    broken = page.evaluate("[...document.querySelectorAll('main img')].filter(i => !i.naturalWidth).length")
    assert broken == 0
    assert page.evaluate("document.querySelectorAll('main img').length") > 100
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(21, 24, 27)")
    assert said == []


def test_the_filter_finds_by_text_setting_and_group(browser: Any, written: str) -> None:
    page, said = opened(browser, written)
    cards, pictures = page.locator("#sheet .card:visible"), page.locator("#sheet figure[data-cell]:visible")
    assert cards.count() == 30
    page.fill("#sheet [name=words]", "RED box 1")
    assert cards.count() == 2  # 10 and 15 are red: every fifth
    page.fill("#sheet [name=words]", "")
    page.select_option("#sheet [name=group]", "group = odd")
    assert cards.count() == 15
    page.select_option("#sheet [name=cell]", "text=2 sketch=2")
    assert pictures.count() == 15
    assert page.locator("#sheet output").inner_text() == "15 of 30 shown"
    assert said == []


def test_a_click_enlarges_arrows_step_and_escape_closes(browser: Any, written: str) -> None:
    page, said = opened(browser, written)
    page.locator("#sheet button.zoom").nth(1).click()
    viewer = page.locator("#viewer")
    assert viewer.is_visible()
    first = viewer.locator("p").inner_text()
    assert "in-00000" in first
    page.keyboard.press("ArrowRight")
    assert viewer.locator("p").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert viewer.locator("p").inner_text() == first
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert said == []


def test_a_table_sorts_by_its_head(browser: Any, written: str) -> None:
    page, _ = opened(browser, written)
    forwards = "[...document.querySelectorAll('#settings tbody tr')].map(r => Number(r.cells[2].dataset.v))"
    page.locator("#settings th").nth(2).click()
    found = page.evaluate(forwards)
    assert found == sorted(found, reverse=True)
    page.locator("#settings th").nth(2).click()
    assert page.evaluate(forwards) == found[::-1]


def test_ten_thousand_rows_with_large_pictures_stay_within_the_budget(
    browser: Any, models: dict[str, str], tmp_path: Path
) -> None:
    output, plan = synthetic.run(models, tmp_path, 10_000, synthetic.by_text, *GRID[:1], "limit=3333", side=256)
    began = time.monotonic()
    path = write_report(output, plan)
    spent = time.monotonic() - began
    size = Path(path).stat().st_size
    began = time.monotonic()
    page, said = opened(browser, path)
    print(
        f"{plan.rows:,} rows: written in {spent:.1f} s, {size / 1e6:.2f} MB, loaded in {time.monotonic() - began:.2f} s"
    )
    assert size < 6e6
    page.evaluate("document.querySelectorAll('img').forEach(i => i.loading = 'eager')")
    page.wait_for_function("[...document.querySelectorAll('main img')].every(i => i.complete && i.naturalWidth)")
    linked = page.evaluate("[...document.querySelectorAll('main img')].filter(i => i.src.startsWith('file:')).length")
    assert linked > 50
    page.locator("#sheet button.zoom").nth(1).click()
    page.wait_for_function("document.querySelector('#viewer img').naturalWidth == 256")
    assert said == []
