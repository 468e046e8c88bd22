"""What belongs together in a model: labels that flow through operators, one rule each, and the sites they add up to."""

from secateur.coupling.groups import Flow, sites_of
from secateur.coupling.labels import Coupling, Labels, Value
from secateur.coupling.rules import RULES, Call, follow

__all__ = ["RULES", "Call", "Coupling", "Flow", "Labels", "Value", "follow", "sites_of"]
