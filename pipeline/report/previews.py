"""How the rows of a run are shown: results and inputs as pictures of an album, texts as words, whatever the task."""

from collections.abc import Mapping, Sequence
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
        """An input's text; what it was enriched from behind it. Where texts are what is made, the input's id."""
        if KINDS[self.kind.kind].preview is None:  # texts are what is made; what the input has are references
            return str(item["source_id"])
        shown = rows.words(self.task, item["inputs"]) or "(no text)"
        original = rows.original(item)
        return f"{shown} (from: {original})" if original and original != shown else shown

    def result(self, row: Row, moves: bool = False, sounds: bool = False) -> Picture | None:
        """A row's result; what `moves` can be played, and what `sounds` be heard. Of what is unsafe, None."""
        if row.get("unsafe"):
            return None
        if self.kind.kind in PICTURES:  # the bytes that stand in the output
            return self.album.picture(cells(row)[self.kind.fields[0].name])
        return self._drawn(stored(self.task, row), row, moves, sounds)

    def reference(self, item: Row, moves: bool = False) -> Picture | None:
        """An input's own, real result."""
        cell = item["inputs"].get(self.kind.reference)
        if self.kind.kind in PICTURES:
            return self.album.picture(cell)
        return self._drawn(decoded(self.kind.kind, cell), item, moves)

    def conditions(self, item: Row) -> list[tuple[str, Picture | None]]:
        """(role, picture) of what the generator saw of an input that is more than words: its conditions, even where
        one is missing, and what else its encoders read (the source and the mask of an edit)."""
        guided, given = self.task.conditions, item["inputs"]
        seen = dict.fromkeys([*self.task.required, *guided, *self.task.encoders])
        kinds = {role: self.task.roles[role] for role in seen}
        shown = [
            role for role in seen if KINDS[kinds[role]].preview and (role in guided or given.get(role) is not None)
        ]
        return [(role, self.given(kinds[role], given.get(role))) for role in shown]

    def given(self, kind: str, cell: Any) -> Picture | None:
        """A cell of an input; None where it holds nothing that can be shown."""
        if kind in PICTURES:  # its own bytes, which a page may show without decoding them
            return self.album.picture(cell)
        value, preview = decoded(kind, cell), KINDS[kind].preview
        return None if value is None or preview is None else self.album.drawn(preview(value))

    def _drawn(self, value: Any, item: Row, moves: bool, sounds: bool = False) -> Picture | None:
        if value is None:
            return None
        if KINDS[self.kind.kind].preview is None:
            return Picture("", "", words=str(value))
        beside = inputs(self.task, item, ("times", "audio") if sounds else ("times",))
        return self.album.drawn(self.kind.preview(value, beside), self.kind.moving(value, beside) if moves else None)


def cells(row: Row) -> dict[str, Any]:
    """The output's columns of a row's result."""
    found: dict[str, Any] = row["result"].to_pylist()[0]
    return found


def stored(task: Task, row: Row | None) -> Any:
    """The result in a row; None where there is none."""
    return results.of(task).stored(cells(row)) if row else None


def decoded(kind: str, cell: Any) -> Any:
    """The value of an input's cell; None where it holds none."""
    try:
        return KINDS[kind].decode(cell)
    except MediaError:
        return None


def inputs(task: Task, item: Row, kinds: Sequence[str]) -> dict[str, Any]:
    """An input's values of some kinds of media, by role: what stands or sounds beside its result."""
    given = item.get("inputs", {})
    return {role: decoded(kind, given.get(role)) for role, kind in task.roles.items() if kind in kinds}


def square(task: Task, row: Row | None) -> Pixels | None:
    """The result in a row as one picture for small places: of what takes time, its middle; None where there is none
    to show."""
    value = stored(task, row)
    if value is None or row is None or row.get("unsafe"):
        return None
    kind = results.of(task)
    pixels = kind.preview(value, inputs(task, row, ("times",)))
    height, width = pixels.shape[:2]
    left = 0 if kind.kind in PICTURES else max(0, width - height) // 2
    return pixels[:, left : width - left]
