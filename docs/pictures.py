"""Draw the pictures of ocnna's page: `python docs/pictures.py --data DIR`, with images and published weights in DIR."""

import argparse
import base64
import io
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from drawing import Box, svg, text
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

import secateur as sc
from secateur import data, zoo

HERE = Path(__file__).parent
STAGE, BLOCK = "layer1", 4
LAYER = f"{STAGE}.{BLOCK}.conv1"  # of ResNet-56: 16 filters, 32 × 32 pixels, wide-spread scores
SCORED, SHOWN, EACH = 1_000, 6, 3  # images scored, images shown, filters shown of each kind
ENERGY = 0.95
BUSY = 100  # bright pixels that a map needs to be shown as an example
TILE, STEP = 72, 80  # pixels of a shown map, and from one to the next; six of them are as wide as a picture
COLOURS = ((13, 18, 43), (32, 85, 130), (74, 160, 180), (190, 220, 190), (255, 246, 214))  # of maps, from 0 up


@dataclass(frozen=True)
class Seen:
    """What the pictures are drawn from: six images, their maps at one layer, and the scores of every layer."""

    pictures: Float[Tensor, "images colours height width"]  # as they look, from 0 to 1
    maps: Float[Tensor, "images filters height width"]
    scores: dict[str, Float[Tensor, " units"]]


def main() -> None:
    """Draw every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with cifar10/ and weights/*/resnet56-*.th")
    seen = look(parser.parse_args().data)
    for name, picture in (("maps", maps(seen)), ("energy", energy(seen)), ("scores", scores(seen))):
        (HERE / "images" / f"ocnna-{name}.svg").write_text(picture, encoding="utf-8")


def look(folder: Path) -> Seen:
    """ResNet-56, scored by `ocnna`, and what it makes of one image of each of six classes."""
    (weights,) = folder.glob("weights/*/resnet56-*.th")
    model = sc.load_weights(zoo.build("resnet56"), weights).eval()
    address = f"cifar10:{folder / 'cifar10'}?scoring={SCORED}&augment=none&channels_last=0"
    task = data.load(address).task
    found = sc.score(model, sc.find_sites(model, task), task, "ocnna")
    raw = _first_of_each_class(data.load(f"{address}&normalise=none").task)
    with torch.no_grad():
        return Seen(raw, _maps_at(model, _first_of_each_class(task)), dict(found.values))


def _first_of_each_class(task: sc.Task) -> Float[Tensor, "images colours height width"]:
    batches = list(task.batches("calibration"))
    images, labels = torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])
    return torch.stack([images[labels == name][0] for name in range(SHOWN)])


def _maps_at(model: nn.Module, images: Float[Tensor, "images colours height width"]) -> Tensor:
    """What the layer's norm and activation make of its output."""
    x = model.relu(model.bn1(model.conv1(images)))
    blocks = getattr(model, STAGE)
    for block in blocks[:BLOCK]:
        x = block(x)
    block = blocks[BLOCK]
    return block.relu1(block.bn1(block.conv1(x)))


def maps(seen: Seen) -> str:
    """The maps of the filters with the lowest and the highest scores, beside the images, with their significance."""
    values = seen.scores[LAYER]
    order = [int(unit) for unit in values.argsort() if values[unit] > 0]
    drawn, y = [text("images", 0, 14, "bold"), _strip(seen.pictures, 20)], 20 + TILE + 24
    for title, chosen in (("lowest scores", order[:EACH]), ("highest scores", order[-EACH:])):
        drawn.append(text(f"{title} of {LAYER}", 0, y, "bold"))
        y += 18
        for unit in chosen:
            shown = seen.maps[:, unit]
            drawn.append(text(f"filter {unit}, C = {values[unit]:.2f}", 0, y))
            drawn.append(_strip(_coloured(shown / shown.amax()), y + 6))
            norms = (f"F {_significance(image)[0]:.1f}" for image in shown)
            drawn += [text(norm, n * STEP + TILE / 2, y + TILE + 19, "small middle") for n, norm in enumerate(norms)]
            y += TILE + 40
        y += 6
    return svg(drawn, y - 26, "Images and maps of the filters with the lowest and highest scores")


def energy(seen: Seen) -> str:
    """Two maps, their parts in the leading components, and the share of the variation that these hold."""
    chosen = _fewest_and_most(seen.maps.flatten(0, 1))
    box = Box(left=212, top=24, width=254, height=180, low=0.0, high=1.0)
    drawn = [text("the map", 0, 14, "small"), text("what is counted", STEP, 14, "small")]
    drawn += [text("share of the variation held", box.left - 34, 14, "small")]
    drawn += [box.level(share, f"{100 * share:.0f} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    drawn += [box.rule(ENERGY), text("95 %", box.left + box.width, box.y(ENERGY) + 14, "small end")]
    for number, (image, kind) in enumerate(zip(chosen, ("one", "two"), strict=True)):
        _, count, shares = _significance(image)
        top = 24 + number * (TILE + 34)
        pair = torch.stack([image, _projected(image, count)]) / image.amax()
        drawn += [_strip(_coloured(pair), top), text(f"{count} of {len(shares)} components", 0, top + TILE + 15, kind)]
        held = [0.0, *shares.tolist()]
        drawn.append(box.line([(n / len(shares), share) for n, share in enumerate(held)], kind))
        drawn.append(box.dot(count / len(shares), held[count], kind))
    base = box.top + box.height + 15
    drawn += [text("0", box.left, base, "small middle"), text("32", box.left + box.width, base, "small middle")]
    drawn.append(text("principal components", box.left + box.width / 2, base, "small middle"))
    return svg(drawn, base + 6, "How many principal components hold more than 95 % of two maps")


def _fewest_and_most(images: Float[Tensor, "images height width"]) -> tuple[Tensor, Tensor]:
    """Among maps with enough bright pixels, those with the fewest and the most components."""
    busy = [image for image in images if (image > image.amax() / 4).sum() > BUSY]
    ordered = sorted(busy, key=lambda image: _significance(image)[1])
    return ordered[0], ordered[-1]


def scores(seen: Seen) -> str:
    """The sorted scores of every layer, zeros left out."""
    box = Box(left=36, top=24, width=430, height=220, low=math.log10(0.1), high=math.log10(40.0))
    drawn = [text("C, each line one layer", 0, 14, "small")]
    drawn += [box.level(math.log10(value), f"{value:g}") for value in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)]
    for name, values in seen.scores.items():
        kind = {"layer1": "one", "layer2": "two", "layer3": "three"}.get(name.split(".")[0])
        if kind:
            found = sorted(float(value) for value in values)
            points = [((n + 0.5) / len(found), math.log10(value)) for n, value in enumerate(found) if value > 0]
            drawn.append(box.line(points, kind))
    for number, kind in enumerate(("one", "two", "three"), 1):
        drawn.append(text(f"layer{number}", box.left + 14 + 62 * (number - 1), box.top + 22, f"bold {kind}"))
    base = box.top + box.height + 15
    for share, where in ((0.0, ""), (0.5, "middle"), (1.0, "end")):
        drawn.append(text(f"{100 * share:.0f} %", box.left + share * box.width, base, f"small {where}"))
    drawn.append(text("filters of the layer, by score", box.left + 0.25 * box.width, base, "small middle"))
    return svg(drawn, base + 6, "Scores of all layers, sorted")


def _significance(image: Float[Tensor, "height width"]) -> tuple[float, int, Tensor]:
    """The norm of a map's projection, the number of components it takes, and the shares that they hold together."""
    squares = torch.linalg.svdvals(image.double() - image.double().mean(0)).square()
    shares = squares.cumsum(0) / squares.sum()
    count = int((shares <= ENERGY).sum()) + 1
    return float(squares[:count].sum().sqrt()), count, shares


def _projected(image: Float[Tensor, "height width"], count: int) -> Float[Tensor, "height width"]:
    """The map with its leading components only."""
    mean = image.mean(0)
    left, values, right = torch.linalg.svd(image - mean, full_matrices=False)
    return mean + left[:, :count] * values[:count] @ right[:count]


def _coloured(values: Float[Tensor, "images height width"]) -> Float[Tensor, "images colours height width"]:
    """Values from 0 to 1 as colours."""
    stops = torch.tensor(COLOURS) / 255
    place = values.clamp(0, 1) * (len(COLOURS) - 1)
    lower = place.floor().clamp(max=len(COLOURS) - 2)
    part = (place - lower)[..., None]
    return (stops[lower.long()] * (1 - part) + stops[lower.long() + 1] * part).movedim(-1, 1)


def _strip(images: Float[Tensor, "images colours height width"], y: float) -> str:
    """Images in a row."""
    return "".join(_image(image, number * STEP, y) for number, image in enumerate(images))


def _image(image: Float[Tensor, "colours height width"], x: float, y: float, side: float = TILE) -> str:
    pixels = (image * 255).round().byte().movedim(0, -1).numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(128).save(stream, "png", optimize=True)
    text = base64.b64encode(stream.getvalue()).decode()
    return f'<image x="{x:g}" y="{y:g}" width="{side:g}" height="{side:g}" href="data:image/png;base64,{text}"/>'


if __name__ == "__main__":
    main()
