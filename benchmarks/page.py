"""Write docs/results.md from the newest committed results."""

from collections.abc import Callable

from benchmarks import (
    bert_section,
    best,
    cifar_section,
    comparing_section,
    cost_section,
    coverage_section,
    depth_section,
    embedder_section,
    glue_section,
    imagenet_section,
    published_section,
    search_section,
    sections,
    speed_section,
)
from benchmarks.provenance import HERE, newest

SECTIONS: dict[str, Callable[[sections.Result], str]] = {
    "tables_averaged": best.tables_averaged,
    "tables_fresh": best.tables_fresh,
    "tables_best": best.tables_best,
    "tables": sections.tables,
    "cifar_oneshot": cifar_section.oneshot,
    "cifar_recovery": cifar_section.recovery,
    "depth": depth_section.depth,
    "imagenet_oneshot": imagenet_section.oneshot,
    "compare": comparing_section.compare,
    "search": search_section.search,
    "search_images": search_section.images,
    "glue": glue_section.glue,
    "embedder": embedder_section.embedder,
    "embedder_depth": depth_section.embedder,
    "bert_ratios": bert_section.ratios,
    "scoring": sections.scoring,
    "scoring_conv": cifar_section.scoring_conv,
    "homology": sections.homology,
    "coverage": coverage_section.coverage,
    "speed": speed_section.speed,
    "cost_model": cost_section.cost_model,
}
INTRODUCTION = """# Results

Every figure on this page comes from a file in `benchmarks/results`, which also names the commit, the versions, the machine, the seeds and all
settings; the experiments are in `benchmarks/experiments`. Papers' figures, in `benchmarks/published`, are marked as such. `make results` writes this page anew. Quality is in points: accuracy in percent, or
100 · R² in a regression. Seconds are from one machine in one run: compare them as ratios.
"""


PAGE = HERE.parent / "docs" / "results.md"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page that the newest results give."""
    written = [INTRODUCTION]
    for name, section in SECTIONS.items():
        result = newest(name)
        written.append(section(result) if result else f"## {name}\n\nNot run yet.\n")
    written.append(published_section.published("ocnna"))
    return "\n".join(written)


if __name__ == "__main__":
    main()
