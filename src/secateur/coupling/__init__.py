"""What belongs together in a model: labels that flow through operators, one rule each, and the sites they add up to."""

from secateur.coupling.call import Call
from secateur.coupling.counts import Flow
from secateur.coupling.groups import groups_of, sites_of, works_of
from secateur.coupling.labels import Coupling, Labels, Value
from secateur.coupling.rules import RULES, follow

__all__ = ["RULES", "Call", "Coupling", "Flow", "Labels", "Value", "follow", "groups_of", "sites_of", "works_of"]
