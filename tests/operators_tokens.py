"""The same for tokens: attention in its forms, norms, embeddings, recurrent layers; counted by hand."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.families import attention, transformers
from operators import Acts, Does, Row

TOKENS = 4
HEADS, HEAD_DIM = 2, 3
INNER = HEADS * HEAD_DIM
WORDS = 7


def separate(core: nn.Module, kv_heads: int = HEADS) -> nn.Module:
    """Attention with a layer each for query, key and value."""
    return attention.SeparateAttention(8, HEADS, HEAD_DIM, kv_heads, core)


def packed(how: str, core: nn.Module) -> nn.Module:
    """Attention with one layer for query, key and value."""
    return attention.PackedAttention(8, HEADS, HEAD_DIM, how, core)


def fused(scale: float | None = 0.5, mask: str = "none") -> nn.Module:
    """Scaled dot product attention."""
    return attention.Fused(TOKENS, scale, mask)


def by_hand(how: str) -> nn.Module:
    """The same in steps."""
    return attention.ByHand(HEADS, HEAD_DIM, TOKENS, how)


ALL = {"middle.query": INNER, "middle.key": INNER, "middle.value": INNER, "middle.out_proj": 8}
NONE = {"middle.query": 0, "middle.key": 0, "middle.value": 0, "middle.out_proj": 8}
PACKED = {"middle.qkv": 3 * INNER, "middle.proj": 8}

ATTENTION = {
    "fused, scale given": Row(lambda: separate(fused()), others=ALL),
    "fused, causal": Row(lambda: separate(fused(mask="causal")), others=ALL),
    "fused, with a mask": Row(lambda: separate(fused(mask="buffer")), others=ALL),
    "fused, own scale": Row(lambda: separate(fused(None)), others=ALL),  # whole heads
    "by einsum": Row(lambda: separate(by_hand("einsum")), others=ALL),
    "by hand, with a table": Row(lambda: separate(by_hand("table")), others=ALL),
    "by hand, with a mask": Row(lambda: separate(by_hand("mask")), others=ALL),
    "by hand, scale from the shape": Row(lambda: separate(by_hand("square root")), others=NONE, pinned_by="forward"),
    "packed, unbound": Row(lambda: packed("unbind", fused()), others=PACKED),
    "packed, all sizes from the input's width": Row(
        lambda: attention.CountingAttention(8, 2), 0, {"middle.qkv": 0, "middle.proj": 8}, pinned_by="forward"
    ),
    "packed, split in heads": Row(lambda: packed("index", by_hand("mask")), others=PACKED),
    "packed, in chunks": Row(lambda: packed("chunk", by_hand("mask")), others=PACKED),
    "one key for all heads": Row(
        lambda: separate(fused(), 1), others=ALL | {"middle.key": HEAD_DIM, "middle.value": HEAD_DIM}
    ),
    "norms on query and key": Row(lambda: separate(attention.WithNorms(HEAD_DIM, fused(), is_layer=True)), others=ALL),
    "without softmax": Row(lambda: separate(attention.Linearised()), others=ALL),
    "between channels": Row(lambda: separate(attention.BetweenChannels()), others={"middle.query": 0, "middle.key": 0}),
    "stock module": Row(lambda: attention.StockAttention(8, 2, need_weights=False, bias=True), 0),
    "gated mlp": Row(lambda: transformers.Mlp(8, 10, nn.SiLU(), gated=True), others={"middle.fc1": 10}),
    "mixer": Row(lambda: transformers.Mixer(TOKENS, 8, 6), others={"middle.tokens.0": 6, "middle.channels.0": 6}),
    "windows that count in the width of the input": Row(
        lambda: transformers.WindowAttention(8, 2, 2, 2, 1), 0, {"middle.qkv": 0, "middle.proj": 8}, pinned_by="forward"
    ),
}

NORMS = {
    "layer norm": Row(lambda: nn.LayerNorm(8)),
    "layer norm without bias": Row(lambda: nn.LayerNorm(8, bias=False)),
    "layer norm over two axes": Row(lambda: nn.LayerNorm((TOKENS, 8)), 0, pinned_by="layer_norm"),
    "rms norm": Row(lambda: nn.RMSNorm(8)),
    "root mean square by hand": Row(
        lambda: Acts(lambda x, t: x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * t, 8)
    ),
    "softmax over units": Row(lambda: Does(lambda x: x.softmax(-1)), 0, pinned_by="softmax"),
    "batch norm over tokens": Row(lambda: nn.BatchNorm1d(TOKENS)),
}

LAYERS = {
    "linear": Row(lambda: nn.Linear(8, 6), others={"middle": 6}),
    "linear over tokens": Row(lambda: Does(lambda x: x.transpose(1, 2).mean(-1, keepdim=True).transpose(1, 2))),
    "one token": Row(lambda: Does(lambda x: x[:, 0])),
    "all tokens side by side": Row(lambda: Does(lambda x: x.flatten(1))),
    "heads side by side": Row(lambda: Does(lambda x: x.unflatten(-1, (2, -1)).transpose(1, 2).flatten(2))),
    "class token": Row(lambda: transformers.WithClassToken(TOKENS, 8)),
    "patch merging": Row(lambda: transformers.Merged(8, 6)),
    "glu": Row(lambda: Does(lambda x: F.glu(x, -1))),
    "product of tokens": Row(lambda: Does(lambda x: x @ x.transpose(1, 2))),
    "gru": Row(lambda: transformers.Recurrent("gru", 8, 5), 0, pinned_by="gru"),
    "lstm": Row(lambda: transformers.Recurrent("lstm", 8, 5), 0, pinned_by="lstm"),
    "plain recurrent": Row(lambda: transformers.Recurrent("rnn", 8, 5), 0, pinned_by="rnn_tanh"),
}

SEQUENCES = ATTENTION | NORMS | LAYERS


class Words(nn.Module):
    """Words, kinds and places as vectors, summed up, then read by a linear layer or by the words' own table."""

    def __init__(self, *, tied: bool):
        super().__init__()
        self.word = nn.Embedding(WORDS, 8, padding_idx=0)
        self.kind = nn.Embedding(2, 8)
        self.place = nn.Embedding(TOKENS, 8)
        self.norm = nn.LayerNorm(8)
        self.decoder = nn.Linear(8, WORDS)
        if tied:
            self.decoder.weight = self.word.weight

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1]).unsqueeze(0)
        return self.decoder(self.norm(self.word(ids) + self.kind(ids % 2) + self.place(places)))
