"""How much of each map lies in its leading principal components; rows are samples, columns variables."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor

CLOSE = 1e-5  # where a share of the variation is as near as this to the cut, float32 may not tell which side it is on
CHUNK = 2**20  # entries of maps that are worked on at a time, so that they stay near the processor
RANGE = (1e-15, 1e15)  # norms whose squares, and those of their parts, fit float32

Maps = Float[Tensor, "examples units height width"]
Row = Float[Tensor, "examples units"]


def centred_norm(maps: Maps) -> Row:
    """The Frobenius norm of each map less its column means: all of its variation. A constant map gives an exact 0."""
    return _by_chunks(maps, _spread)


def leading_norm(maps: Maps, energy: float) -> Row:
    """The Frobenius norm of each map's projection on its leading principal components.

    Those are as few as hold more than `energy` of the variation. Their share of the squared norm is that of as many
    eigenvalues of the smaller Gram matrix of the centred map: no vectors, no projection. Float32 maps have it in
    float32, and where the cut is too close to call, or squares may not fit, once more in float64.
    """
    return _by_chunks(maps, lambda part: _leading(part, energy))


def rank(maps: Maps) -> Row:
    """The rank of each map: how many singular values float32 can tell from 0, beside the largest."""
    return _by_chunks(maps, _rank)


def _by_chunks(maps: Maps, of: Callable[[Tensor], Tensor]) -> Row:
    exact = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    examples = max(CHUNK // max(exact[0].numel(), 1), 1)
    return torch.cat([of(part) for part in exact.split(examples)])


def _spread(maps: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(_centred(maps), dim=(-1, -2))
    return _mended(norms, ~_fit(norms), maps, _spread_of_any_size)


def _spread_of_any_size(maps: Tensor) -> Tensor:
    peaks = maps.abs().amax((-1, -2), keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    return torch.linalg.vector_norm(_centred(maps / peaks), dim=(-1, -2)) * peaks[..., 0, 0]


def _centred(maps: Tensor) -> Tensor:
    """Maps less their column means; the first row goes first, so that nothing is left of a constant map."""
    off = maps - maps[..., :1, :]
    return off.sub_(off.mean(-2, keepdim=True))


def _leading(maps: Tensor, energy: float) -> Tensor:
    contrasts = _contrasts(maps)
    norms = torch.linalg.vector_norm(contrasts, dim=(-1, -2))
    shares, close = _kept(contrasts, energy)
    found = torch.where(norms > 0, norms * shares.sqrt(), norms)
    if maps.dtype == torch.float64:
        return found
    return _mended(found, close | ~_fit(norms), maps, lambda some: _leading(some.double(), energy))


def _mended(found: Tensor, doubtful: Tensor, maps: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """What was found, with what is doubtful found in another way, in place."""
    if bool(doubtful.any()):
        found[doubtful] = of(maps[doubtful]).to(found.dtype)
    return found


def _fit(norms: Tensor) -> Tensor:
    return (norms > RANGE[0]) & (norms < RANGE[1])


def _contrasts(maps: Tensor) -> Tensor:
    """Maps of one row less with the singular values of the centred ones: what is orthogonal to equal rows (Helmert)."""
    rows = maps.shape[-2]
    steps = torch.arange(1.0, rows, dtype=torch.float64, device=maps.device)
    basis = torch.ones(rows - 1, rows, dtype=torch.float64, device=maps.device).tril() - torch.diag(steps, 1)[:-1]
    basis = basis / (steps * (steps + 1)).sqrt()[:, None]
    return basis.to(maps.dtype) @ (maps - maps[..., :1, :])


def _kept(contrasts: Tensor, energy: float) -> tuple[Tensor, Tensor]:
    """The share that the leading components hold of each map, and for which of them the cut is close."""
    if min(contrasts.shape[-2:]) <= 1:  # one component holds everything
        alike = contrasts.new_ones(contrasts.shape[:-2])
        return alike, alike < 1.0
    gram = _gram(contrasts)
    values = (_of_three(gram.double()) if gram.shape[-1] == 3 else _eigenvalues(gram).double()).flip(-1)
    sums = values.cumsum(-1)
    shares = sums / sums[..., -1:]
    count = (shares <= energy).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
    close = ((shares - energy).abs() < CLOSE).any(-1)
    return shares.gather(-1, count).squeeze(-1).to(contrasts.dtype), close


def _rank(maps: Tensor) -> Tensor:
    values = _eigenvalues(_gram(maps.double())).clamp(min=0.0)
    least = max(maps.shape[-2:]) * torch.finfo(torch.float32).eps
    found = (values > least**2 * values[..., -1:]).sum(-1, dtype=torch.float64)
    return torch.where(values[..., -1].isnan(), torch.nan, found)


def _gram(maps: Tensor) -> Tensor:
    """The smaller of both Gram matrices of each map."""
    return maps.mT @ maps if maps.shape[-1] <= maps.shape[-2] else maps @ maps.mT


def _eigenvalues(gram: Tensor) -> Tensor:
    """The eigenvalues, ascending, NaN where they are not finite; on processors each thread takes a part."""
    failed = ~torch.isfinite(gram.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True))
    usable = gram.masked_fill_(failed[..., None], 0.0)  # LAPACK stops at what is not finite
    threads = torch.get_num_threads() if gram.device.type == "cpu" else 1
    if threads == 1:
        return torch.linalg.eigvalsh(usable).masked_fill_(failed, torch.nan)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(torch.linalg.eigvalsh, usable.flatten(0, -3).chunk(threads))
        return torch.cat(list(parts)).reshape(gram.shape[:-1]).masked_fill_(failed, torch.nan)


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
