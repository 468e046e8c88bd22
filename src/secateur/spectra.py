"""How much of each map lies in its leading principal components; rows are samples, columns variables."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor

CLOSE = 1e-5  # where a share of the variation is as near as this to the cut, float32 may not tell which side it is on
CHUNK = 2**20  # entries of maps that are worked on at a time, so that they stay near the processor

Maps = Float[Tensor, "examples units height width"]
Row = Float[Tensor, "examples units"]


def centred_norm(maps: Maps) -> Row:
    """The Frobenius norm of each map less its column means: all of its variation. A constant map gives an exact 0."""
    return _by_chunks(maps, lambda part: torch.linalg.vector_norm(_centred(part), dim=(-1, -2)))


def leading_norm(maps: Maps, energy: float) -> Row:
    """The Frobenius norm of each map's projection on its leading principal components.

    Those are as few as hold more than `energy` of the variation. The square of the norm is the sum of as many
    eigenvalues of the smaller Gram matrix of the centred map: no vectors, no projection. Float32 maps have it in
    float32, and where the cut is too close to call, once more in float64.
    """
    return _by_chunks(maps, lambda part: _leading(part, energy))


def rank(maps: Maps) -> Row:
    """The rank of each map: how many singular values float32 can tell from 0, beside the largest."""
    return _by_chunks(maps, _rank)


def _by_chunks(maps: Maps, of: Callable[[Tensor], Tensor]) -> Row:
    exact = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    examples = max(CHUNK // max(exact[0].numel(), 1), 1)
    return torch.cat([of(part) for part in exact.split(examples)])


def _centred(maps: Tensor) -> Tensor:
    """Maps less their column means; the first row goes first, so that nothing is left of a constant map."""
    off = maps - maps[..., :1, :]
    return off.sub_(off.mean(-2, keepdim=True))


def _contrasts(maps: Tensor) -> Tensor:
    """Maps of one row less with the singular values of the centred ones: what is orthogonal to equal rows (Helmert)."""
    rows = maps.shape[-2]
    steps = torch.arange(1.0, rows, dtype=torch.float64, device=maps.device)
    basis = torch.ones(rows - 1, rows, dtype=torch.float64, device=maps.device).tril() - torch.diag(steps, 1)[:-1]
    basis = basis / (steps * (steps + 1)).sqrt()[:, None]
    return basis.to(maps.dtype) @ (maps - maps[..., :1, :])


def _leading(maps: Tensor, energy: float) -> Tensor:
    contrasts = _contrasts(maps)
    whole = torch.linalg.vector_norm(contrasts, dim=(-1, -2))
    if min(contrasts.shape[-2:]) <= 1:
        return whole  # one component holds everything
    varies = whole > 0
    found, close = _kept(contrasts[varies], energy)
    again = maps[varies][close].double()
    found[close] = _kept(_contrasts(again), energy)[0].to(found.dtype)
    return whole.masked_scatter(varies, found)


def _kept(contrasts: Tensor, energy: float) -> tuple[Tensor, Tensor]:
    """What the leading components hold of each map, and for which of them the cut is close."""
    gram = _gram(contrasts)
    values = (_of_three(gram.double()) if gram.shape[-1] == 3 else _eigenvalues(gram)).flip(-1)
    whole = values.sum(-1, keepdim=True)
    sums = values.cumsum(-1)
    shares = sums / whole
    count = (shares <= energy).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
    close = ((shares - energy).abs() < CLOSE).any(-1)
    return sums.gather(-1, count).squeeze(-1).sqrt().to(contrasts.dtype), close


def _rank(maps: Tensor) -> Tensor:
    values = _eigenvalues(_gram(maps.double())).clamp(min=0.0)
    least = max(maps.shape[-2:]) * torch.finfo(torch.float32).eps
    return (values > least**2 * values[..., -1:]).sum(-1, dtype=torch.float64)


def _gram(maps: Tensor) -> Tensor:
    """The smaller of both Gram matrices of each map."""
    return maps.mT @ maps if maps.shape[-1] <= maps.shape[-2] else maps @ maps.mT


def _eigenvalues(gram: Tensor) -> Tensor:
    """The eigenvalues in float64, ascending; on processors, each thread takes a part, as LAPACK takes one by one."""
    exact = gram.double()
    threads = torch.get_num_threads() if exact.device.type == "cpu" else 1
    if threads == 1:
        return torch.linalg.eigvalsh(exact)
    with ThreadPoolExecutor(threads) as pool:
        return torch.cat(list(pool.map(torch.linalg.eigvalsh, exact.chunk(threads))))


def _of_three(gram: Tensor) -> Tensor:
    """The eigenvalues of symmetric 3×3 matrices, ascending, in closed form (Smith 1961)."""
    middle = gram.diagonal(dim1=-2, dim2=-1).mean(-1)
    off = gram - middle[..., None, None] * torch.eye(3, dtype=gram.dtype, device=gram.device)
    radius = (off.square().sum((-1, -2)) / 6).sqrt()
    a, b, c, d, e, f = off[..., 0, 0], off[..., 1, 1], off[..., 2, 2], off[..., 0, 1], off[..., 0, 2], off[..., 1, 2]
    determinant = a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
    cosine = torch.where(radius > 0, determinant / (2 * radius**3), 1.0).clamp(-1.0, 1.0)
    angle = torch.acos(cosine) / 3
    largest = middle + 2 * radius * torch.cos(angle)
    smallest = middle + 2 * radius * torch.cos(angle + 2 * torch.pi / 3)
    return torch.stack([smallest, 3 * middle - largest - smallest, largest], -1)
