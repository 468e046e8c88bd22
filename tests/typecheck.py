"""How the test run checks types: every argument and result in `secateur`, with the shapes that jaxtyping adds."""

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

checked = beartype(
    conf=BeartypeConf(
        is_pep484_tower=True,  # an int serves where a float is asked for, as type checkers see it
        is_random=False,  # look at the first item of a container, not at a random one: tests repeat exactly
        hint_overrides=FrozenDict({Self: Any}),  # jaxtyping hands over functions, not the classes that Self needs
    )
)
