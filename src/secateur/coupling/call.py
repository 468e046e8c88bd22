"""One operator call in the graph, as the rules see it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from secateur.coupling.labels import Coupling, Value


@dataclass(frozen=True)
class Call:
    """One operator call in the graph: tensors are values, and everything else is as it stands in the graph.

    `args` are the positional arguments, `kwargs` the others; `names` has, for every positional argument, the parameter
    that it is, unchanged. `shape` is that of the (first) result, `shapes` has one for each of several.
    """

    node: str
    operator: str
    args: tuple[Any, ...]
    shape: tuple[int, ...]
    names: tuple[str | None, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def values(self) -> tuple[Value, ...]:
        """All values among the arguments, lists included."""
        return (*_values(self.args), *_values(self.kwargs.values()))

    def arg(self, place: int, default: Any = None, name: str = "") -> Any:
        """An argument by place or name, or its default where the call leaves it out."""
        return self.args[place] if place < len(self.args) else self.kwargs.get(name, default)

    def name(self, place: int) -> str | None:
        """The parameter that an argument is, unchanged."""
        return self.names[place] if place < len(self.names) else None


Result = Value | list[Value]
Rule = Callable[[Coupling, Call], Result]


def unknown(coupling: Coupling, call: Call, reason: str) -> Result:
    """A value that nothing is known of: what flows into it stays."""
    coupling.pin_all(call.values, call.operator, reason)
    return [Value(shape) for shape in call.shapes] if call.shapes else Value(call.shape)


def _values(args: Any) -> Iterator[Value]:
    for arg in args:
        if isinstance(arg, Value):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from _values(arg)
