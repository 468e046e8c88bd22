"""Draw the pictures of the pages on dense and obce: `python docs/pictures_width.py --model MiniLM --texts GLUE/sst2`.

The first is a folder with all-MiniLM-L6-v2, the second one with the texts of SST-2.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import torch
from drawing import WIDTH, svg, text
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModel

import secateur as sc
from secateur import data, zoo
from secateur.calibration import calibrate
from secateur.homology import Positions
from secateur.scores import Points

HERE = Path(__file__).parent
EACH, SHOWN = 3, 200  # units of each kind, examples shown
SITE = "bert.encoder.layer.3.intermediate.dense"
Mark = Callable[[list[float], float], str]
LEFT, ROW, TICK = 92, 30, 11  # of a row: where its axis begins, its height, and half the height of a tick


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder with all-MiniLM-L6-v2")
    parser.add_argument("--texts", required=True, help="a folder with the texts of SST-2")
    given = parser.parse_args()
    (HERE / "images" / "dense-outputs.svg").write_text(dense(), encoding="utf-8")
    (HERE / "images" / "obce-clouds.svg").write_text(obce(given.model, given.texts), encoding="utf-8")


def dense() -> str:
    """What neurons of a network for digits put out, those with the lowest scores and those with the highest."""
    digits = data.load("sklearn:digits")
    torch.manual_seed(0)
    model = zoo.build("mlp", features=digits.features, outputs=digits.outputs, hidden=(128, 128))
    model = sc.recover(model, digits.task, sc.Recovery(epochs=20))
    sites = sc.find_sites(model, digits.task)
    name = sites.names[-1]
    scores = sc.score(model, sites, digits.task, "dense").values[name]
    outputs = _outputs(model, sites, digits.task, name)
    return _rows(outputs, scores, "v", "Outputs of neurons for 200 digits, each a tick, and their mean", marks=_mean)


def obce(folder: str, texts: str) -> str:
    """What neurons of an encoder put out at [CLS], those with the lowest scores and those with the highest."""
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    task = data.load(f"glue/sst2:{texts}?scoring={SHOWN}", tokenizer=folder).task
    sites = sc.find_sites(model, task)
    name = next(name for name in sites.names if SITE.endswith(name))
    scores = sc.score(model, sites, task, "obce").values[name]
    outputs = _outputs(model, sites, task, name)
    return _rows(outputs, scores, "r", "Outputs of neurons for 200 texts, each a tick, and the largest gap", marks=_gap)


def _outputs(model: torch.nn.Module, sites: sc.Sites, task: sc.Task, name: str) -> Float[Tensor, "examples units"]:
    (cloud,) = calibrate(model, sites, task, Points(Positions()))[name]
    return cloud.points[:SHOWN, :, 0].double()


def _rows(outputs: Tensor, scores: Tensor, letter: str, label: str, *, marks: Mark) -> str:
    order = [int(unit) for unit in scores.argsort()]
    chosen = order[:EACH] + order[-EACH:]
    low, high = float(outputs[:, chosen].min()), float(outputs[:, chosen].max())
    drawn, y = [], 14.0
    for title, units in (("lowest scores", chosen[:EACH]), ("highest scores", chosen[EACH:])):
        drawn.append(text(title, 0, y, "bold"))
        y += ROW * 0.75
        for unit in units:
            places = [LEFT + (WIDTH - LEFT - 4) * float(x - low) / (high - low) for x in outputs[:, unit]]
            drawn.append(text(f"unit {unit}", 0, y + 1) + text(f"{letter} = {scores[unit]:.2g}", 0, y + 13, "small"))
            drawn.append(f'<line x1="{LEFT}" x2="{WIDTH - 4}" y1="{y}" y2="{y}" class="grid"/>')
            drawn.append(marks(sorted(places), y))
            drawn.append(_ticks(places, y))
            y += ROW
        y += ROW / 2
    base = y - ROW / 2 + 4
    drawn.append(text(f"{low:.2g}", LEFT, base, "small") + text(f"{high:.2g}", WIDTH - 4, base, "small end"))
    return svg(drawn, base + 6, label)


def _ticks(places: list[float], y: float) -> str:
    path = " ".join(f"M{x:.1f} {y - TICK:g}V{y + TICK:g}" for x in places)
    return f'<path d="{path}" class="tick"/>'


def _mean(places: list[float], y: float) -> str:
    return f'<circle cx="{sum(places) / len(places):.1f}" cy="{y:g}" r="5" class="two"/>'


def _gap(places: list[float], y: float) -> str:
    left, right = max(itertools.pairwise(places), key=lambda pair: pair[1] - pair[0])
    box = f'x="{left:.1f}" width="{right - left:.1f}" y="{y - TICK:g}" height="{2 * TICK}"'
    return f'<rect {box} class="gap"/>'


if __name__ == "__main__":
    main()
