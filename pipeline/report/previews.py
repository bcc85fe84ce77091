"""How the rows of a run are shown: results and inputs as pictures of an album, texts as words, whatever the task."""

from collections.abc import Mapping
from typing import Any

from pipeline import results
from pipeline.kinds import KINDS
from pipeline.media import MediaError, Pixels
from pipeline.report import rows
from pipeline.report.album import Album, Picture
from pipeline.results.image import PICTURES
from pipeline.settings import Task

Row = Mapping[str, Any]  # as rows.whole makes them


class Previews:
    """Filters of a page's templates."""

    def __init__(self, task: Task, album: Album) -> None:
        self.task, self.album = task, album
        self.kind = results.of(task)

    @property
    def filters(self) -> dict[str, Any]:
        """Name in a template -> filter."""
        return {"words": self.words, "result": self.result, "conditions": self.conditions, "reference": self.reference}

    def words(self, item: Row) -> str:
        """An input's text."""
        return rows.words(self.task, item["inputs"]) or "(no text)"

    def result(self, row: Row) -> Picture | None:
        """A row's result."""
        if self.kind.kind in PICTURES:  # the bytes that stand in the output
            return self.album.picture(cells(row)[self.kind.fields[0].name])
        return self._drawn(self.kind.kind, stored(self.task, row))

    def conditions(self, item: Row) -> list[tuple[str, Picture | None]]:
        """(role, picture) of the conditions of an input that are more than words."""
        shown = [role for role in self.task.conditions if KINDS[self.task.roles[role]].preview]
        return [(role, self.given(self.task.roles[role], item["inputs"].get(role))) for role in shown]

    def reference(self, item: Row) -> Picture | None:
        """An input's own, real result."""
        return self.given(self.kind.kind, item["inputs"].get(self.kind.reference))

    def given(self, kind: str, cell: Any) -> Picture | None:
        """A cell of an input; None where it holds nothing that can be shown."""
        if kind in PICTURES:  # as its own bytes, which a page may show without decoding them
            return self.album.picture(cell)
        try:
            return self._drawn(kind, KINDS[kind].decode(cell))
        except MediaError:
            return None

    def _drawn(self, kind: str, value: Any) -> Picture | None:
        own = KINDS[kind]
        if own.preview is None or value is None:
            return None
        return self.album.drawn(own.preview(value), own.plays(value) if own.plays else None)


def stored(task: Task, row: Row | None) -> Any:
    """The result in a row; None where there is none."""
    return results.of(task).stored(cells(row)) if row else None


def cells(row: Row) -> dict[str, Any]:
    """The output's columns of a row's result."""
    found: dict[str, Any] = row["result"].to_pylist()[0]
    return found


def pixels(task: Task, row: Row | None) -> Pixels | None:
    """The result in a row as a picture; None where there is none."""
    value = stored(task, row)
    return None if value is None else results.of(task).preview(value)
