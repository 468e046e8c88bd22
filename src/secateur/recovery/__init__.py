"""Training what is left of a network: fine-tuning, with or without a teacher, on Hugging Face Accelerate."""

from secateur.recovery.settings import Recovery
from secateur.recovery.training import Recovered, recover, train

__all__ = ["Recovered", "Recovery", "recover", "train"]
