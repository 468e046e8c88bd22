"""The plan that keeps to a predicted latency."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from secateur.budget.amounts import Latency
from secateur.errors import BudgetError
from secateur.plan import Plan

Planned = Callable[[int], Plan]


@runtime_checkable
class Clock(Protocol):
    """Predicts the milliseconds of the model that plans are for; `secateur.timing.clock_for` makes one."""

    @property
    def batch_size(self) -> int:
        """The rows of the calls that are meant."""
        ...

    @property
    def threads(self) -> int:
        """The torch threads that they run on."""
        ...

    def now(self) -> float:
        """The milliseconds of the model as it is."""
        ...

    def after(self, plan: Plan) -> float:
        """The milliseconds of the model without what a plan removes."""
        ...


def within(budget: Latency, clock: Clock | None, most: int, planned: Planned) -> Plan:
    """The plan of as few steps as a bisection finds whose predicted latency keeps to the budget.

    `planned` gives the plan of any number of steps, up to `most`. Time does not fall with every step, since kernels
    like some sizes better than others; the plan given was predicted to keep to the budget itself.

    Raises:
        BudgetError: there is no clock, it is for other calls, or the plan of all steps is not quick enough.
    """
    timer = _checked(budget, clock)
    now = timer.now()
    allowed = budget.limit * now if budget.unit == "x" else budget.limit
    low, high, best = 0, most, planned(most)
    least = now if most == 0 else timer.after(best)
    if now <= allowed:
        return planned(0)
    if least > allowed:
        raise BudgetError(
            f"Latency: {allowed:.3g} ms of {now:.3g} ms cannot be reached; {least:.3g} ms ({least / now:.2f} x) are "
            f"predicted when as many units go as can; allow that long, protect fewer sites, or remove layers."
        )
    while high - low > 1:
        middle = (low + high) // 2
        plan = planned(middle)
        if timer.after(plan) <= allowed:
            high, best = middle, plan
        else:
            low = middle
    return best


def _checked(budget: Latency, clock: Clock | None) -> Clock:
    if clock is None:
        raise BudgetError(
            "Latency: a clock is needed to predict it; give select(…, clock=secateur.timing.clock_for(model, example))."
        )
    asked, known = (budget.batch_size, budget.threads), (clock.batch_size, clock.threads)
    if asked != known:
        raise BudgetError(
            f"Latency: it is for {asked[0]} rows on {asked[1]} threads, the clock for {known[0]} on {known[1]}; make "
            "the clock with the same batch_size and threads."
        )
    return clock
