"""Deaths of zero-dimensional persistence for many neurons at once, beside a sort and beside ripser."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ripser
import torch

from secateur.homology import deaths, summary


def jobs(experiment: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """One job for each kind of cloud; random numbers are the data."""
    del folder
    return [{**experiment, "cloud": cloud} for cloud in experiment["cloud"]]


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Processor seconds for all neurons, ripser's from a sample of them; and how far the deaths are from ripser's."""
    cloud, repeats = job["cloud"], job["repeats"]
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(cloud["points"], cloud["neurons"], cloud["dims"], generator=generator)
    calls: dict[str, Callable[[], object]] = {"largest gap": lambda: summary(points, "max", 0.95)}
    if cloud["dims"] == 1:
        rows = points[..., 0].T.contiguous()
        calls |= {"sort (numpy)": lambda: np.sort(rows.numpy(), -1), "sort (torch)": lambda: rows.sort(-1)}
    seconds = {name: _median(call, repeats) for name, call in calls.items()}
    some = [np.ascontiguousarray(points[:, unit].numpy()) for unit in range(cloud["sample"])]
    whole = cloud["neurons"] / cloud["sample"]
    begun = time.process_time()
    theirs = np.stack([ripser_deaths(one) for one in some])
    seconds["ripser"] = whole * (time.process_time() - begun)
    differences = np.abs(deaths(points[:, : cloud["sample"]]).numpy() - theirs) / theirs.max(1, keepdims=True)
    return {"cloud": cloud["name"], "seconds": seconds, "difference": float(differences.max())}


def ripser_deaths(points: np.ndarray) -> np.ndarray:
    """The finite deaths of one cloud, from the smallest up."""
    ends = ripser.ripser(points, maxdim=0)["dgms"][0][:, 1]
    ends = np.sort(ends[np.isfinite(ends)])
    return np.concatenate([np.zeros(len(points) - 1 - len(ends)), ends])  # it leaves out points that coincide


def _median(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        times.append(time.process_time() - begun)
    return statistics.median(times)
