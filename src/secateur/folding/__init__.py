"""Linear layers after each other made one: exact, or refused."""

from secateur.folding.merging import fold, move_padding
from secateur.folding.placing import Folded
from secateur.folding.worth import Candidate, Measured, Worth, always, fewer_macs

__all__ = ["Candidate", "Folded", "Measured", "Worth", "always", "fewer_macs", "fold", "move_padding"]
