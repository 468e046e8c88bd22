"""Data packed inside the page, in pieces that are unpacked when somebody looks at them."""

import base64
import json
import zlib
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from secateur.report.markup import Html

HARDEST = 9


def packed(identity: str, content: bytes) -> Html:
    """Bytes, deflated and written as letters, in an element of their own; browsers neither run nor read it."""
    letters = base64.b64encode(zlib.compress(content, HARDEST)).decode()
    return Html(f'<script type="text/plain" id="pack-{identity}">{letters}</script>')


def packed_json(identity: str, value: Any) -> Html:
    """A value as JSON, packed."""
    return packed(identity, json.dumps(value, separators=(",", ":"), allow_nan=False).encode())


def filtered(pixels: UInt8[ndarray, "height width channels"]) -> bytes:
    """What each pixel differs by from its left neighbour, which packs better than the pixels."""
    left = np.zeros_like(pixels)
    left[:, 1:] = pixels[:, :-1]
    return (pixels - left).tobytes()
