"""The modules' own numbers that say how many units there are: the size of a head, the groups of a convolution."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from secateur.coupling.labels import Coupling, Labels, Value
from secateur.coupling.members import Members, spans
from secateur.sites import Sized

Counted = Mapping[int, dict[Sized, None]]
Pairs = set[tuple[int, int]]

# How modules call the sizes that their forward counts in: each is kept true to the cut network.
SIZES = frozenset(
    [
        *("attention_head_size", "head_dim", "head_size", "dim_head", "d_head", "d_kv", "d_k", "d_v", "dim_per_head"),
        *(
            "key_value_proj_dim",
            "kv_dim",
            "key_dim",
            "val_dim",
            "value_dim",
            "all_head_size",
            "inner_dim",
            "attn_dim",
            "split_size",
            "width",
        ),
        *("num_attention_heads", "num_heads", "n_heads", "n_head", "heads", "nhead", "num_key_value_heads"),
        *("num_kv_heads", "n_kv_heads", "kv_heads", "num_features"),
    ]
)
OUTPUTS = frozenset(["nf"])  # of a product: said where it is made
GROUPS = frozenset(["groups"])  # said by the rule of grouped convolutions


@dataclass(frozen=True)
class Flow:
    """A graph after the rules: every node's value and sources in the order of the data, tensors, inputs, output.

    `modules` maps nodes to the module they stand in, `shaped` those that change shapes to their operator; `numbers` has
    the modules' own sizes.
    """

    values: Mapping[str, Value]
    sources: Mapping[str, tuple[str, ...]]
    tensors: Mapping[str, Value]
    inputs: tuple[str, ...]
    output: str
    modules: Mapping[str, str]
    shaped: Mapping[str, str]
    numbers: Mapping[str, Mapping[str, int]]


def counted_by(
    coupling: Coupling, flow: Flow, members: Members, coarse: Labels
) -> tuple[Counted, Mapping[int, list[int]]]:
    """For every site, the numbers that are lengths of an axis which it shortens, in the module that counts in them.

    Beside them, every site's twins: others whose own axis has the same number for its length.
    """
    counted: dict[int, dict[Sized, None]] = defaultdict(dict)
    beside: Pairs = set()
    for node, names, labels in _mentions(coupling, flow):
        module = flow.modules[node]
        found = spans(members, labels, coarse)
        for site, length, lost, units in found:
            beside |= {(site, other) for other, *_ in found}
            share = Fraction(lost, units)
            for name in names:
                if flow.numbers[module].get(name) == length:
                    counted[site][Sized(module, name, length, share.numerator, share.denominator)] = None
    return counted, _twins(counted, beside)


def _twins(counted: Counted, beside: Pairs) -> Mapping[int, list[int]]:
    """For every site, the others of the same number that never lie beside it on one axis."""
    holders: dict[tuple[str, str], dict[int, None]] = defaultdict(dict)
    for site, numbers in counted.items():
        for number in numbers:
            holders[(number.module, number.name)][site] = None
    twins: dict[int, list[int]] = defaultdict(list)
    for sites in holders.values():
        for site in sites:
            twins[site] += [other for other in sites if (site, other) not in beside and other not in twins[site]]
    return {site: [other for other in others if other != site] for site, others in twins.items()}


def _counted_at(operator: str) -> frozenset[str]:
    return OUTPUTS if operator == "addmm" else SIZES


def _mentions(coupling: Coupling, flow: Flow) -> Iterable[tuple[str, list[str], Labels]]:
    """Where shapes change inside modules that hold sizes: the node, the sizes' names, and labels that flow there."""
    for tally in coupling.tallies:
        yield tally.node, [tally.name], tally.labels
    for node, operator in flow.shaped.items():
        names = list(flow.numbers.get(flow.modules[node], {}).keys() & _counted_at(operator))
        for near in (node, *flow.sources[node]) if names and operator != "addmm" else (node,) if names else ():
            value = flow.values.get(near)
            for field in value.fields if isinstance(value, Value) else ():
                yield node, names, field
