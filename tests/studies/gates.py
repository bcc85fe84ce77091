"""What gates have learned: python -m tests.studies.gates MODEL PAIRS docs/images/gates.png

Gates of text and sketch (models/fusion.py) of a generator by timestep, over held-out drawings: with both conditions,
with one alone, and where the other, or they themselves, are noise. Prints their means.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pipeline import media
from pipeline.conditions import Conditions, EncoderContext
from pipeline.conditions.clip import Clip, TextEncoder
from pipeline.conditions.sketch import SketchEncoder
from pipeline.models import checkpoint, image
from pipeline.models.fusion import Fusion
from pipeline.report import charts
from tests.studies import pairs

MODALITIES = ("text", "sketch")
TIMESTEPS = torch.arange(0, 1000, 25)
Gates = dict[str, Tensor]  # modality -> [T, B]


@dataclasses.dataclass(frozen=True)
class Case:
    """What the model is shown."""

    name: str
    change: str = ""  # column that is noise
    seen: tuple[str, ...] = MODALITIES


CASES = (
    Case("both"),
    Case("alone, of the text", seen=("text",)),
    Case("alone, of the sketch", seen=("sketch",)),
    Case("text is noise", "text"),
    Case("sketch is noise", "sketch"),
)
NOISE = {"text": pairs.noise_for_texts, "sketch": pairs.noise_for_sketches}


def asked(fusion: Fusion, conditions: Conditions, seen: tuple[str, ...]) -> Gates:
    """Gates of each row at each of TIMESTEPS."""
    rows = len(conditions["text"].present)
    keep = {m: torch.full((rows,), m in seen) for m in MODALITIES}
    with torch.no_grad():
        found = [fusion.gates(conditions, keep, torch.full((rows,), int(t))) for t in TIMESTEPS]
    return {m: torch.stack([own[m] for own in found]) for m in seen}


def evidence(clip: Clip, text_tokens: str, table: pa.Table) -> Conditions:
    """Conditions of the rows of a table."""
    sketches = [media.decode_sketch(cell["bytes"], media.Bounds()) for cell in table["sketch"].to_pylist()]
    encode = SketchEncoder.load(EncoderContext("", "cpu", {"clip": clip}))
    return {"text": TextEncoder(clip, text_tokens)(table["text"].to_pylist()), "sketch": encode(sketches)}


def every(folder: Path, table: pa.Table) -> dict[str, Gates]:
    """Gates of each case, by its name."""
    fusion, clip = image.load(folder).float().eval().fusion, Clip.load(str(folder / "clip"))
    tokens = json.loads((folder / checkpoint.INDEX).read_text()).get("text_tokens", "hidden")
    found = {}
    for case in CASES:
        shown = NOISE[case.change](table) if case.change else table
        found[case.name] = asked(fusion, evidence(clip, tokens, shown), case.seen)
    return found


def picture(found: Mapping[str, Gates]) -> bytes:
    """PNG of how far each gate is open, |gate|: what is behind it can turn its sign round. A pair of axes for each
    modality, a line for each case, around "both" a band of the middle 80 % of rows."""
    with charts.style():
        made = Figure(figsize=(7, 2.6), layout="constrained")
        for axes, modality in zip(made.subplots(1, 2, sharey=True), MODALITIES, strict=True):
            shown = {name: own[modality].abs() for name, own in found.items() if modality in own}
            for colour, (name, values) in zip(charts.PALETTE, shown.items(), strict=False):
                axes.plot(TIMESTEPS, values.mean(1), color=colour, label=name.partition(",")[0])
            low, high = shown["both"].quantile(torch.tensor([0.1, 0.9]), 1)
            axes.fill_between(TIMESTEPS, low, high, color=charts.PALETTE[0], alpha=0.15, linewidth=0)
            axes.set(title=f"|gate| of the {modality}", xlabel="timestep (999: all noise)", ylim=(0, 1))
            axes.legend()
        return charts.drawing(made, "gates").png


def main(model: str, data: str, output: str) -> None:
    """Draw 128 held-out drawings' gates."""
    table = pq.read_table(data, filters=[("split", "=", "test"), ("slice", "=", "drawings")]).slice(0, 128)
    found = every(checkpoint.fetch(model), table)
    for name, gates in found.items():
        for modality, values in gates.items():
            late, early = (half.abs().mean() for half in values.chunk(2))
            print(
                f"{name}: |gate| of the {modality} {early:.3f} in the noisy half of timesteps, {late:.3f} in the other"
            )
    Path(output).write_bytes(picture(found))


if __name__ == "__main__":
    main(*sys.argv[1:4])
