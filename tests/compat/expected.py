"""What is known to fall short, and why: a test fails when this is no longer so."""

# Part of the error with which an architecture is refused.
REFUSED: dict[str, str] = {}

# The share of parameters that can go, where it is less than the aim; the reason beside it.
SHARES: dict[str, float] = {}
