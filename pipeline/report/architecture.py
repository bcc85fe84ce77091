"""The model that ran, drawn from its folder's own configuration: which encoders, where they enter, how far the
learned gates open."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pipeline import results, storage
from pipeline.report import charts, gates
from pipeline.report.charts import PALETTE, Drawing
from pipeline.report.facts import Facts
from pipeline.report.section import Section

WEIGHTS = "diffusion_pytorch_model.safetensors"
LANE = 18  # height of a condition in the diagram


@dataclasses.dataclass(frozen=True)
class Parts:
    """Configurations of a generator's parts, None for those that it has not."""

    index: Mapping[str, Any]
    network: Mapping[str, Any] | None  # the folder unet, or transformer
    adapter: Mapping[str, Any] | None
    fusion: Mapping[str, Any] | None
    vae: Mapping[str, Any] | None
    clip: Mapping[str, Any] | None


def section(facts: Facts) -> Section:
    """The diagram and the gates; where the folder cannot be read, why."""
    if facts.model.uri is None:
        return Section("model", "The model", {"why": facts.model.why, "parts": None, "open": {}})
    configs = {n: facts.model.json(n, "config.json") for n in ("adapter", "fusion", "vae")}
    network = facts.model.json("unet", "config.json") or facts.model.json("transformer", "config.json")
    index = facts.model.json("model_index.json") or {}
    parts = Parts(index, network, clip=facts.model.json("clip", "open_clip_config.json"), **configs)
    drawings, tables = {"architecture": _diagram(facts, parts)}, {}
    weights = facts.model.file("fusion", WEIGHTS)
    over_time: dict[str, Any] = {}
    if parts.fusion and parts.fusion.get("hidden", 1) and weights:
        over_time = gates.read(storage.read(weights), list(parts.fusion["tokens"])).over_time()
        drawings["gates"] = _gates(over_time)
        tables["gates"] = _gate_table(over_time)
    values = {"why": "", "parts": parts, "open": {m: (v[0].mean(), v[-1].mean()) for m, v in over_time.items()}}
    values["directions"] = gates.DIRECTIONS
    return Section("model", "The model", values, drawings, tables)


def _gates(over_time: Mapping[str, Any]) -> Drawing:
    made, axes = charts.figure(3.6, 2.5)
    for number, (m, values) in enumerate(over_time.items()):
        colour = PALETTE[number % len(PALETTE)]
        axes.fill_between(gates.TIMESTEPS, values.min(1), values.max(1), color=colour, alpha=0.25, linewidth=0)
        axes.plot(gates.TIMESTEPS, values.mean(1), "o-", color=colour, markersize=3.5, label=m)
    axes.axhline(0, color=charts.SOFT, linewidth=0.6)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlabel("timestep (999 is noise)")
    axes.set_ylabel("gate")
    axes.legend(loc="upper left")
    return charts.drawing(made, "gates")


def _gate_table(over_time: Mapping[str, Any]) -> pa.Table:
    rows = [
        {"modality": m, "timestep": t, "mean": float(v.mean()), "least": float(v.min()), "most": float(v.max())}
        for m, values in over_time.items()
        for t, v in zip(gates.TIMESTEPS, values, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def _diagram(facts: Facts, parts: Parts) -> Drawing:
    """Inputs, their encoders, the fusion, the network and what it makes, from left to right."""
    task = facts.plan.identity["task"]
    height = LANE * max(2, len(task["conditions"]))
    middle = height / 2
    made, axes = charts.figure(10.6, 0.075 * height + 0.2)
    axes.set(xlim=(0, 112), ylim=(0, height))
    axes.axis("off")
    for number, name in enumerate(task["conditions"]):
        y = height - LANE * (number + 0.5)
        colour = PALETTE[number % len(PALETTE)]
        _box(axes, (5, y), (10, 8), name, "", colour)
        _box(axes, (24, y), (18, 11), task["encoders"][name].rpartition(":")[2], _encoder(parts, name), colour)
        _arrow(axes, (10, y), (15, y), colour)
        _arrow(axes, (33, y), (43, middle + (y - middle) * 0.2), colour)
        axes.text(37, (y + middle) / 2 - 3, _tokens(parts, name), fontsize=7, color=charts.SOFT, ha="right")
        if parts.fusion and parts.adapter and name in parts.fusion.get("maps", {}):
            _adapter(axes, y, height, parts, colour)
    _box(axes, (52, middle), (18, 12), "Fusion" if parts.fusion else "conditions", _fusion(parts), "")
    _arrow(axes, (61, middle), (70, middle), "")
    axes.text(65.2, middle + 1, "cross-\nattention", fontsize=7, color=charts.SOFT, ha="center")
    _box(
        axes,
        (81, middle),
        (22, 13),
        str((parts.network or {}).get("_class_name", "network")),
        _network(parts.network),
        "",
    )
    _arrow(axes, (92, middle), (98.5, middle), "")
    axes.text(95, middle + 1, _latents(parts.network), fontsize=7, color=charts.SOFT, ha="center")
    _box(
        axes,
        (105, middle),
        (13, 11),
        str((parts.vae or {}).get("_class_name", results.of(facts.plan.task).kind)),
        _vae(parts),
        "",
    )
    return charts.drawing(made, "architecture")


def _adapter(axes: Axes, y: float, height: float, parts: Parts, colour: str) -> None:
    """The way of evidence in place or time, around the fusion's tokens into the network."""
    adapter = parts.adapter or {}
    into = "down blocks" if "down_block_types" in (parts.network or {}) else "frames"
    above = y > height / 2
    edge = height - 5 if above else 5
    _box(axes, (52, edge), (18, 9), str(adapter["_class_name"]), f"{_joined(adapter['channels'])} channels", colour)
    _arrow(axes, (33, y + (2 if above else -2)), (43, edge), colour)
    axes.text(62, edge + 1, f"maps, times the gate,\nadded to its {into}", fontsize=7, color=charts.SOFT)
    bend = "angle,angleA=0,angleB=90,rad=4"
    _arrow(axes, (61, edge), (81, height / 2 + (6.5 if above else -6.5)), colour, bend)


def _box(axes: Axes, at: tuple[float, float], size: tuple[float, float], title: str, text: str, colour: str) -> None:
    x, y = at
    corner = (x - size[0] / 2, y - size[1] / 2)
    edge, rounded = colour or charts.INK, "round,pad=0,rounding_size=1.2"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=rounded, facecolor="none", edgecolor=edge, linewidth=1.2))
    lines = text.count("\n") + 1 if text else 0
    axes.text(x, y + 1.2 * lines, title, ha="center", va="center", fontsize=8.5, fontweight="bold")
    if text:
        axes.text(x, y - 1.7, text, ha="center", va="center", fontsize=7, color=charts.SOFT, linespacing=1.3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, bend: str = "arc3") -> None:
    edge = colour or charts.INK
    style: Any = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=bend, color=edge, linewidth=1.1, **style))


def _encoder(parts: Parts, name: str) -> str:
    clip = (parts.clip or {}).get("model_cfg", {})
    tower = clip.get("text_cfg" if name == "text" else "vision_cfg", {})
    layers = tower.get("layers")
    text = f"frozen CLIP, {layers} layers" if isinstance(layers, int) else "frozen CLIP" if clip else "frozen"
    return f"{text}\nwidth {tower['width']}" if "width" in tower else text


def _tokens(parts: Parts, name: str) -> str:
    width = (parts.fusion or {}).get("tokens", {}).get(name)
    return f"tokens of {width}" if width else ""


def _fusion(parts: Parts) -> str:
    if not parts.fusion:
        return ""
    own = "a gate and a null for each" if parts.fusion.get("hidden", 1) else "a null for each"
    met = {"attention": ", which attend\nto each other", "pooled": "\none of all pooled vectors"}
    return f"{own}\ntokens of {parts.fusion['dim']}{met.get(parts.fusion.get('join', 'tokens'), '')}"


def _network(network: Mapping[str, Any] | None) -> str:
    if network is None:
        return ""
    if "down_block_types" not in network:
        return f"{network.get('layers')} layers of {network.get('dim')}\ncross-attention in each"
    attention = sum("CrossAttn" in kind for kind in network["down_block_types"])
    levels = len(network["block_out_channels"])
    return f"{_joined(network['block_out_channels'])} channels\ncross-attention in {attention} of {levels} levels"


def _latents(network: Mapping[str, Any] | None) -> str:
    if network is None:
        return ""
    if "sample_size" not in network:
        return f"{network['width']} a\nframe" if "width" in network else ""
    return f"{network['out_channels']} x {network['sample_size']}²"


def _vae(parts: Parts) -> str:
    return f"{parts.vae['latent_channels']} channels to RGB" if parts.vae else ""


def _joined(values: Sequence[int] | int) -> str:
    return ", ".join(map(str, values)) if isinstance(values, Sequence) else str(values)
