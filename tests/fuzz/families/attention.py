"""Self-attention as people write it: packed or separate, fused or by hand, with masks, biases and norms."""

import math
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.shapes import Block, Shape, on_tokens


class PackedAttention(nn.Module):
    """One layer for query, key and value, unpacked in one of three ways (timm, nanoGPT)."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, how: str, core: nn.Module):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.how = how
        self.qkv = nn.Linear(dim, 3 * num_heads * head_dim, bias=how != "chunk")
        self.core = core
        self.proj = nn.Linear(num_heads * head_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        if self.how == "unbind":
            qkv = self.qkv(x).reshape(b, t, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
            q, k, v = qkv.unbind(0)
        elif self.how == "index":
            qkv = self.qkv(x).view(b, t, self.num_heads, 3 * self.head_dim).transpose(1, 2)
            q, k, v = torch.split(qkv, self.head_dim, dim=-1)
        else:
            parts = self.qkv(x).chunk(3, dim=-1)
            q, k, v = (part.view(b, t, self.num_heads, self.head_dim).transpose(1, 2) for part in parts)
        x = self.core(q, k, v).transpose(1, 2).reshape(b, t, -1)
        return self.proj(x)


class CountingAttention(nn.Module):
    """One layer for all three, with every size taken from the input's width (minGPT)."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).split(c, dim=2)
        k = k.view(b, t, self.num_heads, c // self.num_heads).transpose(1, 2)
        q = q.view(b, t, self.num_heads, c // self.num_heads).transpose(1, 2)
        v = v.view(b, t, self.num_heads, c // self.num_heads).transpose(1, 2)
        scores = (q @ k.transpose(-2, -1)) * 0.5
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).contiguous().view(b, t, c))


class SeparateAttention(nn.Module):
    """Three layers (BERT); keys and values may have fewer heads."""

    def __init__(self, dim: int, num_heads: int, head_dim: int, num_kv_heads: int, core: nn.Module):
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.num_kv_heads = num_kv_heads
        self.query = nn.Linear(dim, num_heads * head_dim)
        self.key = nn.Linear(dim, num_kv_heads * head_dim)
        self.value = nn.Linear(dim, num_kv_heads * head_dim)
        self.core = core
        self.out_proj = nn.Linear(num_heads * head_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = self.query(x).view(b, t, self.num_heads, self.head_dim).transpose(1, 2)
        k = self.key(x).view(b, t, self.num_kv_heads, self.head_dim).transpose(1, 2)
        v = self.value(x).view(b, t, self.num_kv_heads, self.head_dim).transpose(1, 2)
        if self.num_kv_heads not in (1, self.num_heads):
            k, v = (part.repeat_interleave(self.num_heads // self.num_kv_heads, dim=1) for part in (k, v))
        elif self.num_kv_heads != self.num_heads:
            k, v = (part.expand(b, self.num_heads, t, self.head_dim) for part in (k, v))
        x = self.core(q, k, v).permute(0, 2, 1, 3).contiguous()
        return self.out_proj(x.view(b, t, self.num_heads * self.head_dim))


class Fused(nn.Module):
    """`scaled_dot_product_attention`, its scale given or not, with a mask or not."""

    def __init__(self, tokens: int, scale: float | None, mask: str):
        super().__init__()
        self.scale = scale
        self.is_causal = mask == "causal"
        self.register_buffer("mask", torch.randn(tokens, tokens) if mask == "buffer" else None)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.scale is None:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask, is_causal=self.is_causal)
        return F.scaled_dot_product_attention(q, k, v, self.mask, is_causal=self.is_causal, scale=self.scale)


class ByHand(nn.Module):
    """Scores, softmax, weighted sum, one after the other."""

    def __init__(self, num_heads: int, head_dim: int, tokens: int, how: str):
        super().__init__()
        self.how = how
        self.scale = head_dim**-0.5
        self.bias = nn.Parameter(torch.zeros(num_heads, tokens, tokens)) if how == "table" else None
        self.register_buffer("mask", torch.tril(torch.ones(tokens, tokens, dtype=torch.bool)))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        t = q.shape[2]
        match self.how:
            case "einsum":
                scores = torch.einsum("bhid,bhjd->bhij", q, k) * self.scale
                return torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), v)
            case "table":
                return ((q * self.scale) @ k.transpose(-2, -1) + self.bias).softmax(-1) @ v
            case "square root":
                scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(q.shape[-1])
            case _:
                scores = (q @ k.transpose(-2, -1)) * self.scale
                scores = scores.masked_fill(~self.mask[:t, :t], float("-inf"))
        return torch.matmul(F.softmax(scores, dim=-1), v)


class WithNorms(nn.Module):
    """Norms over each head's query and key before they meet."""

    def __init__(self, head_dim: int, core: nn.Module, *, is_layer: bool):
        super().__init__()
        self.q_norm = nn.LayerNorm(head_dim) if is_layer else nn.RMSNorm(head_dim)
        self.k_norm = nn.LayerNorm(head_dim) if is_layer else nn.RMSNorm(head_dim)
        self.core = core

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.core(self.q_norm(q), self.k_norm(k), v)


class Linearised(nn.Module):
    """Attention without softmax: keys meet values first (EfficientViT)."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k = F.relu(q), F.relu(k)
        shares = (q @ k.sum(dim=2, keepdim=True).transpose(-2, -1)) + 1.0
        return (q @ (k.transpose(-2, -1) @ v)) / shares


class BetweenChannels(nn.Module):
    """Shares between channels, not tokens (XCiT): they must stay."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return ((q.transpose(-2, -1) @ k) / q.shape[2]).softmax(-1).matmul(v.transpose(-2, -1)).transpose(-2, -1)


class StockAttention(nn.Module):
    """`nn.MultiheadAttention`."""

    def __init__(self, dim: int, num_heads: int, *, need_weights: bool, bias: bool):
        super().__init__()
        self.need_weights = need_weights
        self.attn = nn.MultiheadAttention(dim, num_heads, batch_first=True, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.attn(x, x, x, need_weights=self.need_weights)
        return x + out


def core(num_heads: int, head_dim: int, tokens: int, rng: Random) -> nn.Module:
    """How query, key and value meet."""
    scale = rng.choice((None, head_dim**-0.5, 1.0))
    match rng.choice(("fused", "fused", "hand", "hand", "norms", "linear", "channels")):
        case "fused":
            return Fused(tokens, scale, rng.choice(("none", "causal", "buffer")))
        case "norms":
            return WithNorms(head_dim, Fused(tokens, scale or 1.0, "none"), is_layer=rng.random() < 0.5)
        case "linear":
            return Linearised()
        case "channels":
            return BetweenChannels()
    return ByHand(num_heads, head_dim, tokens, rng.choice(("einsum", "table", "square root", "mask")))


def self_attention(shape: Shape, rng: Random) -> nn.Module:
    """Self-attention that keeps the shape of its tokens."""
    num_heads, head_dim = rng.choice((1, 2, 3, 4)), rng.choice((2, 3, 4, 6))
    if rng.random() < 0.15:
        heads = next(h for h in (4, 3, 2, 1) if shape.units % h == 0)
        return StockAttention(shape.units, heads, need_weights=rng.random() < 0.5, bias=rng.random() < 0.5)
    inner = core(num_heads, head_dim, shape.places[0], rng)
    if rng.random() < 0.5:
        return PackedAttention(shape.units, num_heads, head_dim, rng.choice(("unbind", "index", "chunk")), inner)
    num_kv_heads = rng.choice((num_heads, num_heads, 1, *(h for h in (2,) if num_heads % h == 0)))
    return SeparateAttention(shape.units, num_heads, head_dim, num_kv_heads, inner)


def _counting(shape: Shape, rng: Random) -> nn.Module:
    return CountingAttention(shape.units, rng.choice([h for h in (1, 2, 3, 4) if shape.units % h == 0]))


BLOCKS: dict[str, Block] = {"attention": on_tokens(self_attention), "counting_attention": on_tokens(_counting)}
