"""Einsum by products gives what einsum gives, and its operands' units are followed."""

import pytest
import torch
from torch import Tensor, nn

import secateur as sc
from secateur.einsums import Unfolded, by_products

SIZES = dict(zip("abcdehijknotwxy", (2, 5, 3, 4, 2, 2, 3, 5, 3, 3, 6, 4, 2, 4, 3), strict=True))
EQUATIONS = [
    *("bchw,oc->bohw", "bhid,bhjd->bhij", "bhij,bhjd->bhid", "b i d , b j d -> b i j", "ij,jk->ik", "ij,jk->ki"),
    *("i,j->ij", "bi,bi->b", "bij,j->bi", "bihd,bjhd->bhij", "nhd,hdo->no", "bhwc,hkc->bhwk", "bij,bij->"),
    *("...d,de->...e", "...ij,...jk->...ik", "ij,...jk->...ik", "bi,bj->bij", "bij,jo->b", "bxhd,hdo->bxo"),
    *("ij,ij->ij", "bhij,b->bhij", "ii,ij->j", "ij,jk,ko->io", "ij->ji", "ij,jk"),  # the last four as they are
]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_products_give_what_einsum_gives(equation: str) -> None:
    terms = equation.replace(" ", "").split("->")[0].split(",")
    shapes = [
        [SIZES[letter] for letter in term.replace("...", "ab"[1 - number :])] for number, term in enumerate(terms)
    ]
    operands = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    wanted = torch.einsum(equation, *operands)
    torch.testing.assert_close(by_products(equation, operands), wanted)
    with Unfolded():
        torch.testing.assert_close(torch.einsum(equation, operands), wanted)


def test_an_operand_with_one_entry_for_all_is_left_to_einsum() -> None:
    one, other = torch.randn(3, 1, 4), torch.randn(3, 4, 5)
    for operands in ([one, other[:1]], [one[:1], other]):
        wanted = torch.einsum("bij,bjk->bik", *operands)
        torch.testing.assert_close(by_products("bij,bjk->bik", operands), wanted)


class Contracted(nn.Module):
    """Linear layers around two weights and an attention, all written as einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.heads = nn.Parameter(torch.randn(6, 2, 3))
        self.out = nn.Parameter(torch.randn(2, 3, 5))
        self.last = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        query = torch.einsum("btc,chd->bthd", self.first(x).relu(), self.heads)
        shares = torch.einsum("bthd,bshd->bhts", query, query).softmax(-1)
        read = torch.einsum("bhts,bshd->bthd", shares, query)
        return self.last(torch.einsum("bthd,hdo->bto", read, self.out).relu())


def test_units_before_and_between_einsums_are_cut_exactly() -> None:
    model, x = Contracted().double(), torch.randn(3, 4, 4, dtype=torch.float64)
    sites = sc.find_sites(model, x)
    assert sites["first"].units == 6
    small = sc.apply(model, sc.plan_of(sites, {"first": (1, 5)}), verify=True, example=x)
    assert small.heads.shape == (4, 2, 3)
    kept = [0, 2, 3, 4]
    silent = Contracted().double()
    silent.load_state_dict(model.state_dict())
    with torch.no_grad():
        silent.heads[[1, 5]] = 0.0
        torch.testing.assert_close(small(x), silent(x))
        assert torch.equal(small.heads, model.heads[kept])
