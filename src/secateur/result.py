"""What a run found: plain data, all of it JSON, from which the report is made."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic, TypeVar

from secateur.plan import Plan

FORMAT = 1
TEST = "test_"  # names of figures on the test data start so
Model = TypeVar("Model")


@dataclass(frozen=True)
class Latency:
    """Milliseconds per call: median and interquartile range over `repeats` calls."""

    median_ms: float
    spread_ms: float
    batch_size: int
    threads: int
    repeats: int
    engine: str = "pytorch"


@dataclass(frozen=True)
class Measurement:
    """What a network costs, and how well it does. `macs` count one example; `quality` is in points (0–100).

    `uncounted` names operators that multiply in ways that are not counted. `peak_activation_bytes` is of one example,
    weights left out; 0 means that it is not known.
    """

    parameters: int
    macs: int
    size_bytes: int
    latency: tuple[Latency, ...] = ()
    quality: dict[str, float] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    macs_by_operator: dict[str, int] = field(default_factory=dict)
    peak_activation_bytes: int = 0


@dataclass(frozen=True)
class Step:
    """The network after one step of the line: `original`, `cut`, `compensated` or `recovered`."""

    name: str
    round: int
    measurement: Measurement
    seconds: float = 0.0


@dataclass(frozen=True)
class SiteScores:
    """Every unit's score at one site in one round, and which units went."""

    site: str
    scores: tuple[float, ...]
    removed: tuple[int, ...]
    threshold: float | None = None


@dataclass(frozen=True)
class Halves:
    """What scores from two halves of the data agree on at a site, for as many units as went there.

    `overlap` is the share of the units kept by one half that the other keeps as well, `chance` what two random choices
    would share; `is_noise`, that the one is within two standard deviations of the other. `correlation` is Spearman's.
    """

    site: str
    correlation: float | None
    overlap: float
    chance: float
    is_noise: bool


@dataclass(frozen=True)
class Fold:
    """One layer's compensation: what was asked, what the guard allowed, and the unseen rows' error before and after.

    Errors are mean squares of the difference to what the layer put out originally, relative to that output's variance.
    """

    layer: str
    asked: str
    used: str
    error_before: float
    error_after: float
    reason: str = ""


@dataclass(frozen=True)
class Block:
    """One box of the network's drawing: a layer, an activation between layers, an input, or where values are joined.

    `tensor` names a layer's weight; it is "" elsewhere. `before` and `after` are the channels that it puts out, `after`
    0 where it is gone, both 0 of joins. `inputs` are the numbers of the blocks that it reads.
    """

    name: str
    operator: str
    tensor: str
    before: int
    after: int
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Event:
    """Progress of a long step, for whoever draws a bar: `done` of `total` steps of `doing`."""

    doing: str
    done: int
    total: int


@dataclass(frozen=True)
class Agreement:
    """What two halves of the data agree on at a site.

    `correlation` is Spearman's, of all scores (None where all of a half are alike); `overlap` the share of the units
    kept by one half that the other keeps as well, and `chance` what of that two random choices would share.
    """

    correlation: float | None
    overlap: float
    chance: float


@dataclass(frozen=True)
class Epoch:
    """One epoch of recovery."""

    epoch: int
    loss: float
    quality: float | None
    learning_rate: float


@dataclass(frozen=True)
class Round:
    """One round of the loop: its plan, scores, folds and training, whether it was kept, and whether halves agreed."""

    number: int
    plan: Plan
    scores: tuple[SiteScores, ...] = ()
    folds: tuple[Fold, ...] = ()
    epochs: tuple[Epoch, ...] = ()
    kept: bool = True
    reason: str = ""
    halves: tuple[Halves, ...] = ()


@dataclass(frozen=True)
class Result(Generic[Model]):
    """A compressed network and everything about how it came to be; `model` is the only field that is not JSON.

    `widths` maps each site to its units before and after. `steps` starts with the original, ends with the network as it
    leaves; `controls` stand beside it (the same shape trained from scratch). `metric` names the quality that decides,
    on validation data; figures that start with `test_` are of the test data, looked at only once, at the end. `plan` is
    all rounds in one. `pinned` has name, units and the reason why they stay. `blocks` draw the original network.
    """

    model: Model
    method: str
    metric: str
    steps: tuple[Step, ...]
    rounds: tuple[Round, ...]
    widths: dict[str, tuple[int, int]]
    plan: Plan = Plan(method="")
    controls: tuple[Step, ...] = ()
    pinned: tuple[tuple[str, int, str], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()

    @property
    def original(self) -> Measurement:
        """The network as it came."""
        return self.steps[0].measurement

    @property
    def final(self) -> Measurement:
        """The network as it leaves."""
        return self.steps[-1].measurement


def to_json(result: Result[Any]) -> str:
    """The result without its model, as JSON text."""
    data = asdict(replace(result, model=None))
    del data["model"]
    return json.dumps({"format": FORMAT, **data}, indent=1)
