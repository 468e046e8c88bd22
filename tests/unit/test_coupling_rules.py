"""Coupling: every rule by itself, and the labels that rules hand on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from secateur.coupling import RULES, Call, Coupling, Value, follow
from secateur.coupling.labels import Labels, varying
from secateur.coupling.shapes import reshaped


@dataclass(frozen=True)
class Case:
    """An operator on tensors of such shapes, with units along the given axes of each."""

    operator: str
    run: Callable[..., Tensor]
    tensors: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    settings: tuple[object, ...] = ()
    units: int = 1  # how many can go

    def __str__(self) -> str:
        return f"{self.operator} {' '.join(str(shape) + ' along ' + str(axes) for shape, axes in self.tensors)}"


def _list(run: Callable[[list[Tensor]], Tensor]) -> Callable[..., Tensor]:
    return lambda *tensors: run(list(tensors))


CASES = [
    Case("relu", torch.relu, (((3, 4), (1,)),), units=4),
    Case("add", torch.add, (((3, 4), (1,)), ((4,), (0,))), units=4),
    Case("add", torch.add, (((2, 3, 4), (1, 2)), ((3, 1), (0,))), units=7),
    Case("mul", torch.mul, (((3, 4), (1,)), ((3, 1), ())), units=4),
    Case("mul", torch.mul, (((3, 4), (1,)), ((3, 4), (0, 1))), units=4),
    Case("sub", torch.sub, (((1, 4), (1,)), ((3, 1), (0,))), units=7),
    Case("where", lambda a, b: torch.where(a.isnan(), a, b), (((3, 4), (1,)), ((4,), (0,))), units=4),
    Case("batch_norm", lambda x, w: x * w[None, :, None], (((2, 3, 4), (1,)), ((3,), (0,))), units=3),
    Case("prelu", F.prelu, (((2, 3), (1,)), ((3,), (0,))), units=3),
    Case("prelu", F.prelu, (((2, 3), (1,)), ((1,), ())), units=3),
    Case("permute", lambda x: x.permute(2, 0, 1), (((2, 3, 4), (1, 2)),), ([2, 0, 1],), units=7),
    Case("permute", lambda x: x.permute(-1, 0, 1), (((2, 3, 4), (1, 2)),), ([-1, 0, 1],), units=7),
    Case("flip", lambda x: x.flip(1), (((2, 3, 4), (1, 2)),), ([1],), units=7),
    Case("flip", lambda x: x.flip(0, -1), (((2, 3, 4), (1, 2)),), ([0, -1],), units=7),
    Case("slice", lambda x: x[:, 1::2], (((3, 6), (1,)),), (1, 1, 2**63 - 1, 2), units=3),
    Case("slice", lambda x: x[:, ::3], (((3, 6), (0, 1)),), (1, 0, 2**63 - 1, 3), units=5),
    Case("slice", lambda x: x[:, ::4], (((3, 6), (0, 1)),), (1, 0, 2**63 - 1, 4), units=3),
    Case("transpose", lambda x: x.transpose(0, -1), (((2, 3, 4), (1, 2)),), (0, -1), units=7),
    Case("mT", lambda x: x.mT, (((2, 3, 4), (1, 2)),), units=7),
    Case("t", torch.t, (((3, 4), (0, 1)),), units=7),
    Case("numpy_T", torch.t, (((3, 4), (0, 1)),), units=7),
    Case("flatten", lambda x: x.flatten(1), (((2, 3, 4), (1,)),), units=3),
    Case("flatten", lambda x: x.flatten(1), (((2, 3, 4), (2,)),), units=4),
    Case("view", lambda x: x.reshape(6, x.shape[2]), (((2, 3, 4), (2,)),), units=4),
    Case("unflatten", lambda x: x.unflatten(0, (2, 2)), (((4, 3), (1,)),), units=3),
    Case("squeeze", torch.squeeze, (((1, 3, 1, 4), (1, 3)),), units=7),
    Case("unsqueeze", lambda x: x.unsqueeze(1), (((3, 4), (1,)),), units=4),
    Case("expand", lambda x: x.expand(5, 3, x.shape[1]), (((1, 4), (1,)),), units=4),
    Case("cat", _list(lambda x: torch.cat(x, 1)), (((2, 3), (1,)), ((2, 4), (1,))), (1,), units=7),
    Case("cat", _list(lambda x: torch.cat(x, -2)), (((2, 3), (0, 1)), ((4, 3), (0, 1))), (-2,), units=9),
    Case("sum", lambda x: x.sum(1), (((2, 3, 4), (1, 2)),), ([1],), units=7),
    Case("sum", lambda x: x.sum((1, 2), keepdim=True), (((2, 3, 4), (1, 2)),), ([1, 2], True), units=7),
    Case("sum", torch.sum, (((3, 4), (1,)),), units=4),
    Case("mean", lambda x: x.mean(1), (((2, 3, 4), (2,)),), ([1],), units=4),
    Case("softmax", lambda x: x.softmax(1), (((2, 3, 4), (2,)),), (1,), units=4),
    Case("linear", F.linear, (((3, 4), (1,)), ((5, 4), (0, 1)), ((5,), (0,))), units=9),
    Case("linear", F.linear, (((2, 3, 4), (1, 2)), ((5, 4), (0, 1))), units=12),
    Case("matmul", torch.matmul, (((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
    Case("mm", torch.mm, (((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
    Case("addmm", torch.addmm, (((5,), (0,)), ((3, 4), (1,)), ((4, 5), (0, 1))), units=9),
]


def _cut(tensor: Tensor, value: Value, root: Labels, unit: int) -> Tensor:
    """A tensor without the entries of one unit."""
    for field in value.fields:
        labels = root[field]
        if (labels == unit).any():
            (axis,) = varying(field)
            kept = torch.from_numpy(np.flatnonzero(labels.ravel() != unit))
            tensor = tensor.index_select(axis, kept)
    return tensor


@pytest.mark.parametrize("case", CASES, ids=str)
def test_removing_what_the_labels_say_removes_just_that_from_the_output(case: Case) -> None:
    generator = torch.Generator().manual_seed(5)
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape, _ in case.tensors]
    coupling = Coupling()
    values = [Value(shape, tuple(coupling.fresh(shape, axis) for axis in axes)) for shape, axes in case.tensors]
    given = (values,) if case.operator == "cat" else tuple(values)
    out = follow(coupling, Call("node", case.operator, (*given, *case.settings), tuple(case.run(*tensors).shape)))
    root = coupling.roots()
    pinned = {int(unit) for pin in coupling.pins for unit in np.unique(root[pin.labels])}
    units = {int(unit) for value in values for field in value.fields for unit in np.unique(root[field])} - pinned
    for unit in units:
        silenced = list(tensors)
        for reading in coupling.readings:
            gone = torch.from_numpy(root[reading.labels] == unit)
            silenced[reading.operand] = silenced[reading.operand].masked_fill(gone, 0.0)
        found = case.run(*(_cut(tensor, value, root, unit) for tensor, value in zip(tensors, values, strict=True)))
        torch.testing.assert_close(found, _cut(case.run(*silenced), out, root, unit))
    assert len(units) == case.units


ELEMENTWISE = sorted(name for name, rule in RULES.items() if rule.__name__ == "elementwise")


@pytest.mark.parametrize("name", [name for name in ELEMENTWISE if not name.endswith("_")])
def test_every_elementwise_operator_works_entry_by_entry(name: str) -> None:
    packet = getattr(torch.ops.aten, name)
    x, y = torch.rand(3, 4, dtype=torch.float64) + 0.1, torch.rand(3, 4, dtype=torch.float64) + 0.1
    arguments = _arguments(name, x, y)
    whole = packet(*arguments)
    part = packet(*(value[:, 1:] if isinstance(value, Tensor) and value.dim() else value for value in arguments))
    torch.testing.assert_close(part, whole[:, 1:])
    assert whole.shape == x.shape


OF_TWO = (
    *("add", "sub", "rsub", "mul", "div", "pow", "maximum", "minimum", "clamp_min", "clamp_max", "eq", "ne", "lt"),
    *("le", "gt", "ge", "fmod", "remainder", "atan2", "copy"),
)
OF_TRUTHS = {"logical_and": 2, "logical_or": 2, "bitwise_not": 1}


def _arguments(name: str, x: Tensor, y: Tensor) -> tuple[object, ...]:
    if name in OF_TWO:
        return x, y
    if name in OF_TRUTHS:
        return (x > 0.5, y > 0.5)[: OF_TRUTHS[name]]
    if name in ("addcmul", "addcdiv", "masked_fill"):
        return (x, y > 0.5, 0.0) if name == "masked_fill" else (x, y, x + y)
    return _settings(name, x, y)


def _settings(name: str, x: Tensor, y: Tensor) -> tuple[object, ...]:
    match name:
        case "where":
            return x > 0.5, x, y
        case "lerp":
            return x, y, 0.3
        case "clamp":
            return x, 0.2, 0.6
        case "threshold":
            return x, 0.3, 0.1
        case "dropout" | "alpha_dropout" | "feature_dropout" | "feature_alpha_dropout":
            return x, 0.5, False
        case "to":
            return x, torch.float32
    return (x,)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_units_are_the_connected_components_of_what_was_joined(pairs: list[tuple[int, int]]) -> None:
    coupling = Coupling()
    labels = coupling.fresh((20,), 0)
    for one, other in pairs:
        coupling.join(labels[[one]], labels[[other]])
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(20, 20))
    _, component = connected_components(graph, directed=False)
    smallest = {int(c): int(np.flatnonzero(component == c).min()) for c in np.unique(component)}
    assert coupling.roots().tolist() == [smallest[int(c)] for c in component]


SHAPES = [
    ((2, 12), (2, 3, 4)),
    ((6, 4), (2, 3, 2, 2)),
    ((2, 3, 4), (24,)),
    ((4, 1, 3), (4, 3)),
    ((12,), (1, 12, 1)),
    ((3, 8), (8, 3)),
]


@pytest.mark.parametrize(("old", "new"), [*SHAPES, *((new, old) for old, new in SHAPES)])
def test_labels_are_reshaped_as_the_entries_are(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    for axis in (axis for axis, size in enumerate(old) if size > 1):
        field = Coupling().fresh(old, axis)
        found = reshaped(field, old, new)
        assert found is not None
        np.testing.assert_array_equal(np.broadcast_to(found, new), np.broadcast_to(field, old).reshape(new))


def test_a_value_of_no_entries_is_not_followed() -> None:
    assert reshaped(Coupling().fresh((2, 3), 1), (2, 0), (0,)) is None
