"""Tables, images and your own data as tasks: `load` takes an address such as `csv:adult.csv?target=income`."""

from secateur.data.batches import TensorBatches
from secateur.data.dataset import Data
from secateur.data.loading import load

__all__ = ["Data", "TensorBatches", "load"]
