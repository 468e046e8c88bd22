"""Texts as tasks: `load` takes what an address such as `glue/sst2:DIR?limit=500` was taken apart into."""

from secateur.data.texts.address import FORMS, TextSet, is_text, parse
from secateur.data.texts.assembly import load

__all__ = ["FORMS", "TextSet", "is_text", "load", "parse"]
