"""Quality against cost: the cells that no other cell beats in both."""

from collections.abc import Sequence

from pipeline.report import charts, words
from pipeline.report.charts import Drawing
from pipeline.report.choice import Standing
from pipeline.report.facts import Facts
from pipeline.report.scores import label
from pipeline.report.section import Section


def section(facts: Facts) -> Section | None:
    """A drawing for each score; nothing where all cells cost the same."""
    choice = facts.choice
    if choice is None or len({s.forwards for s in choice.standings}) < 2:
        return None
    drawings, fronts = {}, {}
    for name in facts.scores.names:
        known = [s for s in choice.standings if s.means[name].n]
        if known:
            fronts[name] = front(known, name, facts.scores.sign(name))
            drawings[f"pareto_{name}"] = _draw(known, fronts[name], name)
    texts = {name: words.listed([f"{s.name} ({s.forwards})" for s in found], most=6) for name, found in fronts.items()}
    return Section("pareto", "Quality against cost", {"front": texts[facts.scores.best_by]}, drawings)


def front(standings: Sequence[Standing], score: str, sign: int) -> list[Standing]:
    """Cells that have a better mean than every cell that costs no more, cheapest first."""
    kept: list[Standing] = []
    for standing in sorted(standings, key=lambda s: (s.forwards, -sign * s.means[score].value)):
        if not kept or sign * standing.means[score].value > sign * kept[-1].means[score].value:
            kept.append(standing)
    return kept


def _draw(standings: Sequence[Standing], best: Sequence[Standing], score: str) -> Drawing:
    made, axes = charts.figure(4.6, 2.9)
    for standing in standings:
        mean = standing.means[score]
        colour = charts.PALETTE[1] if standing in best else charts.SOFT
        axes.plot([standing.forwards] * 2, [mean.low, mean.high], color=colour, linewidth=1, alpha=0.5)
        axes.plot([standing.forwards], [mean.value], "o", color=colour, markersize=5)
    places, heights = [s.forwards for s in best], [s.means[score].value for s in best]
    axes.step(
        [*places, max(s.forwards for s in standings)], [*heights, heights[-1]], where="post", color=charts.PALETTE[1]
    )
    for standing in best:
        at = (standing.forwards, standing.means[score].value)
        axes.annotate(standing.name, at, (6, 5), textcoords="offset points", fontsize=8)
    axes.set_xticks(sorted({s.forwards for s in standings}))
    axes.margins(x=0.18)
    axes.set_xlabel("forwards of the network for one row")
    axes.set_ylabel(label(score))
    return charts.drawing(made, f"pareto_{score}")
