"""`scores.json`: scores together with the sites they are of, so that planning needs neither model nor data."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from secateur.errors import FileError
from secateur.places import read_json, write_text
from secateur.scores import Scores
from secateur.sites import Activation, Site, Sites, Sized, Stretch, TensorAxis, TensorCost

FORMAT = 1


def write(scores: Scores, sites: Sites, path: Path) -> None:
    """Write scores and sites.

    Raises:
        FileError: the place cannot be written.
    """
    values = {name: found.tolist() for name, found in scores.values.items()}
    about = {"format": FORMAT, "method": scores.method, "comparable": scores.comparable, "scores": values}
    kept = ("name", "units", "made_by", "carried_by", "read_by", "droppable", "blocks", "works", "sized", "twins")
    found = [{key: value for key, value in asdict(site).items() if key in kept} for site in sites]
    written: dict[str, Any] = {"sites": found, "tensors": [asdict(tensor) for tensor in sites.tensors]}
    if sites.activations:  # of methods of layers
        written |= {"activations": [asdict(each) for each in sites.activations]}
        written |= {"stretches": [asdict(each) for each in sites.stretches], "macs": sites.macs}
    write_text(path, json.dumps(about | written))


def read(path: Path) -> tuple[Scores, Sites]:
    """The scores and sites in a file that `write` wrote.

    Raises:
        FileError: it cannot be read, or is not such a file.
    """
    data = read_json(path)
    try:
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}")
        sites = Sites(
            sites=tuple(_site(site) for site in data["sites"]),
            tensors=tuple(TensorCost(**{**t, "shape": tuple(map(int, t["shape"]))}) for t in data["tensors"]),
            activations=tuple(map(_activation, data.get("activations", ()))),
            stretches=tuple(map(_stretch, data.get("stretches", ()))),
            macs=int(data.get("macs", 0)),
        )
        _check(sites)
        _check_layers(sites)
        values = {str(name): torch.tensor(found, dtype=torch.float64) for name, found in data["scores"].items()}
        return Scores(str(data["method"]), values, bool(data["comparable"])), sites
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise FileError(
            f"{path}: not scores of format {FORMAT} ({found}); write them with `secateur score`."
        ) from error


def _site(data: Mapping[str, Any]) -> Site:
    return Site(
        name=str(data["name"]),
        units=int(data["units"]),
        made_by=tuple(map(_axis, data["made_by"])),
        carried_by=tuple(map(_axis, data["carried_by"])),
        read_by=tuple(map(_axis, data["read_by"])),
        droppable=bool(data["droppable"]),
        blocks=int(data["blocks"]),
        works=tuple(map(_axis, data["works"])),
        sized=tuple(map(_sized, data["sized"])),
        twins=tuple(map(str, data["twins"])),
    )


def _sized(data: Mapping[str, Any]) -> Sized:
    numbers = (int(data[key]) for key in ("value", "loses", "per"))
    return Sized(str(data["module"]), str(data["name"]), *numbers)


def _axis(data: Mapping[str, Any]) -> TensorAxis:
    positions = tuple(map(int, data["positions"]))
    return TensorAxis(str(data["tensor"]), int(data["axis"]), positions, int(data["repeat"]))


def _activation(data: Mapping[str, Any]) -> Activation:
    numbers = {name: int(data[name]) for name in ("units", "axis", "call", "calls")}
    weights = {name: tuple(map(str, data[name])) for name in ("before", "after")}
    return Activation(**{**data, **numbers, **weights})


def _stretch(data: Mapping[str, Any]) -> Stretch:
    names = {name: tuple(map(str, data[name])) for name in ("activations", "modules")}
    sizes = {name: tuple(map(int, data[name])) for name in ("kernel", "stride")}
    numbers = {name: int(data[name]) for name in ("inputs", "outputs", "macs", "macs_after")}
    return Stretch(**{**data, **names, **sizes, **numbers})


def _check_layers(sites: Sites) -> None:
    """Raises ValueError where stretches are not of the activations, or there is nothing that scores are of."""
    if not sites.sites and not sites.activations:
        raise ValueError("neither sites nor layers, as in files of earlier versions")
    names = {each.name for each in sites.activations}
    for stretch in sites.stretches:
        if not stretch.modules or not stretch.activations or not names.issuperset(stretch.activations):
            raise ValueError(f"the activations of {stretch.name} do not fit")


def _check(sites: Sites) -> None:
    """Raises ValueError where units lie outside their tensors."""
    shapes = {tensor.name: tensor.shape for tensor in sites.tensors}
    for site in sites:
        if site.blocks < 1 or site.units % site.blocks or not set(site.twins) <= set(sites.names):
            raise ValueError(f"the blocks or twins of {site.name} do not fit")
        if any(sized.per < 1 for sized in site.sized):
            raise ValueError(f"the sizes of {site.name} do not fit")
        for axis in (*site.axes, *site.works):
            shape = shapes.get(axis.tensor, ())
            length = shape[axis.axis] if 0 <= axis.axis < len(shape) else 0
            fits = len(axis.positions) == site.units * axis.repeat and all(0 <= p < length for p in axis.positions)
            if not fits:
                raise ValueError(f"the units of {site.name} do not fit {axis.tensor}")
