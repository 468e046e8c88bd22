"""Plans of any kind, for Hypothesis."""

from hypothesis import strategies as st

from secateur.plan import (
    LayerEdit,
    Part,
    Swap,
    Untie,
)

FLOATS = st.floats(allow_nan=False)
NAMES = st.text(max_size=6)
COUNTS = st.integers(0, 2**40)
SETTINGS = st.dictionaries(
    NAMES, st.integers() | st.booleans() | FLOATS | NAMES | st.lists(st.integers(), max_size=2).map(tuple), max_size=2
)
PARTS = st.recursive(
    st.builds(Part, NAMES, SETTINGS),
    lambda parts: st.builds(Part, NAMES, SETTINGS, st.lists(parts, max_size=2).map(tuple)),
    max_leaves=3,
)
CHANGES = st.builds(Swap, NAMES, PARTS) | st.builds(Untie, NAMES, st.lists(NAMES, max_size=2).map(tuple))
LAYERS = st.builds(LayerEdit, NAMES, NAMES, st.lists(CHANGES, max_size=2).map(tuple), FLOATS, COUNTS, FLOATS, NAMES)
