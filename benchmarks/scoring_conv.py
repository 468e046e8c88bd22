"""What scoring convolutional networks costs beside the plain forward pass, and what one PCA per map would cost."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

import secateur as sc
from secateur import zoo
from secateur.calibration import calibrate
from secateur.inference import evaluating
from secateur.scores import Maps


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each network."""
    del folder
    return [{**experiment, "network": network} for network in experiment["networks"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Processor milliseconds for each image, their ratios to the forward pass, and the literal form extrapolated."""
    torch.manual_seed(0)
    name, options = zoo.parse(job["network"])
    model = zoo.build(name, **options)
    images, size = torch.randn(job["data"]["images"], 3, 32, 32), job["data"]["batch_size"]
    batches = list(zip(images.split(size), torch.randint(10, (len(images),)).split(size), strict=True))
    task = sc.Task.classification(calibration=batches)
    two = sc.Task.classification(calibration=[tuple(part[:2] for part in batches[0])])
    sites = sc.find_sites(model, task)
    calls = {"forward": _plain(model, task)}
    for label, settings in job["methods"].items():
        chosen = sc.methods.get(settings["method"], **{k: v for k, v in settings.items() if k != "method"})
        for key, on in ((label, task), (f"{label} once", two)):
            calls[key] = partial(sc.score, model, sites, on, chosen)
    seconds = _in_turns(calls, job["repeats"])
    each_ms = {"forward": 1000 * seconds["forward"] / len(images)}
    for label in job["methods"]:
        once = seconds[f"{label} once"]
        each_ms[label] = 1000 * ((seconds[label] - once) / (len(images) - 2) + once / job["data"]["scored"])
    literal_ms, maps = _literal(model, two, job["literal"]["maps"])
    each_ms["literal"] = literal_ms
    return {
        "network": job["network"],
        "cpu_ms_per_image": each_ms,
        "ratio": {label: value / each_ms["forward"] for label, value in each_ms.items()},
        "once_cpu_ms": {label: 1000 * seconds[f"{label} once"] for label in job["methods"]},
        "maps_per_image": maps,
    }


def _plain(model: nn.Module, task: sc.Task) -> Callable[[], None]:
    def forward() -> None:
        with evaluating(model) as predict:
            for batch in task.calibration:
                predict(task.arguments(batch))

    return forward


def _in_turns(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median processor seconds of each call; the first turn does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            begun = time.process_time()
            call()
            times[name].append(time.process_time() - begun)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def _literal(model: nn.Module, two: sc.Task, sample: int) -> tuple[float, dict[str, int]]:
    """What scikit-learn's PCA of every map would take for one image, from a sample of each size; and how many maps."""
    kept: dict[tuple[int, int], Tensor] = {}
    counts: Counter[tuple[int, int]] = Counter()

    def note(maps: Tensor) -> Tensor:
        size = (maps.shape[-2], maps.shape[-1])
        counts[size] += maps.shape[1]
        kept.setdefault(size, maps.flatten(0, 1)[:sample].clone())
        return maps.amax((-1, -2))

    calibrate(model, sc.find_sites(model, two), two, Maps(note))
    total = 0.0
    for size, maps in kept.items():
        begun = time.process_time()
        for each in maps.numpy():
            if min(each.shape) > 1:
                PCA(0.95, svd_solver="full").fit_transform(each)
        total += counts[size] * (time.process_time() - begun) / len(maps)
    return 1000 * total, {f"{height}x{width}": count for (height, width), count in sorted(counts.items())}
