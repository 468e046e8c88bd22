"""Who looks at which node of a graph, and what a batch holds."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from secateur.scores import Look


@dataclass(frozen=True)
class Batch:
    """What a batch holds: so many examples, and which of their tokens are no padding, where that is known."""

    examples: int
    tokens: Tensor | None = None


Seeing = Callable[[Any, Batch], None]


@dataclass(frozen=True)
class Places:
    """What looks at which node, before it runs (its arguments) or after (its value), and what was seen so far."""

    before: dict[str, list[Seeing]] = field(default_factory=lambda: defaultdict(list))
    after: dict[str, list[Seeing]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[Look, dict[str, Any]] = field(default_factory=dict)
