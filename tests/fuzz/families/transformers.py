"""Transformer blocks, mixers, windows, recurrent layers: what tokens go through."""

from math import isqrt
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families.activations import activation
from fuzz.families.attention import self_attention
from fuzz.families.norms import token_norm
from fuzz.shapes import Block, Shape, is_square, on_tokens


class Mlp(nn.Module):
    """Two linear layers, or three with a gate (SwiGLU)."""

    def __init__(self, dim: int, hidden_dim: int, act: nn.Module, *, gated: bool):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.gate = nn.Linear(dim, hidden_dim, bias=False) if gated else None
        self.act = act
        self.drop = nn.Dropout(0.1)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.fc1(x))
        if self.gate is not None:
            hidden = hidden * self.gate(x)
        return self.fc2(self.drop(hidden))


class Encoder(nn.Module):
    """Attention and MLP with sums around them, norms before or after."""

    def __init__(self, shape: Shape, rng: Random):
        super().__init__()
        self.norm_first = rng.random() < 0.6
        self.norm1 = token_norm(shape.units, rng)
        self.attn = self_attention(shape, rng)
        self.norm2 = token_norm(shape.units, rng)
        self.mlp = Mlp(shape.units, rng.choice((6, 12, 16)), activation(rng, on_fresh=True), gated=rng.random() < 0.3)
        self.layer_scale = nn.Parameter(torch.ones(shape.units)) if rng.random() < 0.3 else None

    def forward(self, x: Tensor) -> Tensor:
        if not self.norm_first:
            x = self.norm1(x + self.attn(x))
            return self.norm2(x + self.mlp(x))
        out = self.attn(self.norm1(x))
        x = x + (out if self.layer_scale is None else out * self.layer_scale)
        return x + self.mlp(self.norm2(x))


class Mixer(nn.Module):
    """A layer over tokens, then one over channels."""

    def __init__(self, tokens: int, dim: int, hidden: int):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.tokens = nn.Sequential(nn.Linear(tokens, hidden), nn.GELU(), nn.Linear(hidden, tokens))
        self.channels = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(x)


class WindowAttention(nn.Module):
    """Attention inside windows of a square, shifted or not, with a table of relative positions (Swin)."""

    def __init__(self, dim: int, side: int, window: int, num_heads: int, shift: int):
        super().__init__()
        self.side, self.window_size, self.shift = side, window, shift
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, num_heads))
        self.register_buffer("relative_position_index", _relative(window))

    def forward(self, x: Tensor) -> Tensor:
        b, _, c = x.shape
        w, n = self.window_size, self.side // self.window_size
        x = x.view(b, self.side, self.side, c)
        if self.shift:
            x = torch.roll(x, shifts=(-self.shift, -self.shift), dims=(1, 2))
        windows = x.view(b, n, w, n, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, c)
        windows = self.attend(windows)
        x = windows.view(b, n, n, w, w, -1).permute(0, 1, 3, 2, 4, 5).reshape(b, self.side, self.side, -1)
        if self.shift:
            x = torch.roll(x, shifts=(self.shift, self.shift), dims=(1, 2))
        return x.reshape(b, self.side * self.side, -1)

    def attend(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]
        bias = bias.view(t, t, self.num_heads).permute(2, 0, 1).contiguous()
        attn = (q * self.scale) @ k.transpose(-2, -1) + bias.unsqueeze(0)
        return self.proj((attn.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class Recurrent(nn.Module):
    """A recurrent layer, whose units must stay."""

    def __init__(self, kind: str, dim: int, hidden_size: int):
        super().__init__()
        self.rnn = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}[kind](dim, hidden_size, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)
        return out


class Merged(nn.Module):
    """Neighbouring tokens side by side, then a norm and a linear layer (patch merging)."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(2 * dim)
        self.reduction = nn.Linear(2 * dim, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.reduction(self.norm(torch.cat([x[:, 0::2], x[:, 1::2]], -1)))


class WithClassToken(nn.Module):
    """A learnt token before the others, and positions for all."""

    def __init__(self, tokens: int, dim: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens + 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed


class Projected(nn.Module):
    """A linear layer and an activation."""

    def __init__(self, dim: int, width: int, rng: Random):
        super().__init__()
        self.fc = nn.Linear(dim, width, bias=rng.random() < 0.7)
        self.act = activation(rng, on_fresh=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc(x))


class Normalised(nn.Module):
    """Tokens of length one, times a scale."""

    def __init__(self, dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=-1) * self.scale


def _relative(window: int) -> Tensor:
    places = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    apart = places[:, :, None] - places[:, None, :] + window - 1
    return apart[0] * (2 * window - 1) + apart[1]


def _encoder(shape: Shape, rng: Random) -> nn.Module:
    return Encoder(shape, rng)


def _mixer(shape: Shape, rng: Random) -> nn.Module:
    return Mixer(shape.places[0], shape.units, rng.choice((6, 8)))


def _windows(shape: Shape, rng: Random) -> nn.Module:
    heads = rng.choice([h for h in (1, 2, 3, 4) if shape.units % h == 0])
    return WindowAttention(shape.units, isqrt(shape.places[0]), 2, heads, rng.choice((0, 1)))


def _has_windows(shape: Shape) -> bool:
    return is_square(shape) and shape.places[0] % 4 == 0


def _recurrent(shape: Shape, rng: Random) -> nn.Module:
    return Recurrent(rng.choice(("gru", "lstm", "rnn")), shape.units, rng.choice((5, 8)))


def _merged(shape: Shape, rng: Random) -> nn.Module:
    return Merged(shape.units, rng.choice((6, 12)))


def _class_token(shape: Shape, _: Random) -> nn.Module:
    return WithClassToken(shape.places[0], shape.units)


def _projected(shape: Shape, rng: Random) -> nn.Module:
    return Projected(shape.units, rng.choice((6, 8, 12, 16)), rng)


def _normalised(shape: Shape, _: Random) -> nn.Module:
    return Normalised(shape.units)


BLOCKS: dict[str, Block] = {
    "encoder": on_tokens(_encoder),
    "encoder_too": on_tokens(_encoder),
    "mixer": on_tokens(_mixer),
    "windows": on_tokens(_windows, fits=_has_windows),
    "recurrent": on_tokens(_recurrent),
    "merged": on_tokens(_merged, fits=lambda shape: shape.places[0] % 2 == 0),
    "class_token": on_tokens(_class_token, fits=is_square),
    "projected": on_tokens(_projected),
    "projected_too": on_tokens(_projected),
    "normalised": on_tokens(_normalised),
}
