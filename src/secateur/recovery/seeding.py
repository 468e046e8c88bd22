"""Randomness that comes from one seed, and leaves no trace."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from secateur.task import Task


@contextmanager
def seeded(task: Task, seed: int, device: torch.device) -> Iterator[Callable[[], None]]:
    """A function that gives all randomness the next of a row of seeds; every state is put back afterwards.

    All randomness: torch's on the CPU and the device, NumPy's, Python's, and the generators of the task's data loaders.
    A fresh seed per epoch makes an epoch's order independent of how much randomness the one before has used.
    """
    generators = [torch.default_generator, *_generators(task.train), *_generators(task.validation)]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index])
    states = [generator.get_state() for generator in generators]
    python, numpy = random.getstate(), np.random.get_state()
    seeds = random.Random(seed)

    def reseed() -> None:
        number = seeds.getrandbits(32)  # all that NumPy takes
        for generator in generators:
            generator.manual_seed(number)
        random.seed(number)
        np.random.seed(number)

    try:
        yield reseed
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        random.setstate(python)
        np.random.set_state(numpy)


def _generators(batches: Iterable[Any] | None) -> list[torch.Generator]:
    """The generators that a loader and its samplers draw from, other than torch's own."""
    if not isinstance(batches, DataLoader):
        return []
    samplers = (batches.sampler, batches.batch_sampler, getattr(batches.batch_sampler, "sampler", None))
    found = [batches.generator, *(getattr(sampler, "generator", None) for sampler in samplers)]
    return list({id(generator): generator for generator in found if isinstance(generator, torch.Generator)}.values())
