"""Images as tasks: `load` takes what an address such as `cifar10:DIR?validation=5000` was taken apart into."""

from secateur.data.images.address import FORMS, ImageSet, parse
from secateur.data.images.assembly import load

__all__ = ["FORMS", "ImageSet", "load", "parse"]
