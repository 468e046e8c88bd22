"""Two plans in one: what was removed first, and then from what was left."""

from dataclasses import replace

from secateur.plan import NOTHING, Cut, Edit, Plan, Resize


def compose(first: Plan, second: Plan) -> Plan:
    """One plan that does what the first does and then what the second does to the result.

    Units and entries are numbered as in the original, or as they are after the last change of layers; the certificate
    is the second's.
    """
    *earlier, last = first.steps or (first,)
    following = second.steps or (second,)
    if not following[0].layers:  # cuts alone: one with those before
        last, following = _cut_further(last, following[0]), following[1:]
    steps = tuple(step for step in (*earlier, last, *following) if not _is_empty(step))
    if len(steps) <= 1:
        return replace(steps[0] if steps else last, method=second.method or first.method)
    return Plan(
        method=second.method or first.method,
        edits=_edits(first, second),
        certificate=second.certificate,
        layers=(*first.layers, *second.layers),
        steps=steps,
    )


def _is_empty(plan: Plan) -> bool:
    """Whether a plan says nothing."""
    return replace(plan, method="") == Plan("")


def _cut_further(first: Plan, second: Plan) -> Plan:
    """One plan for cuts after a plan without steps."""
    cuts = {(cut.tensor, cut.axis): cut for cut in first.cuts}
    gained = {f"{name}.bias" for name in first.biased}  # made after all cuts, as long as their layers then are
    for cut in second.cuts:
        place = cut.tensor, cut.axis
        if place in cuts:
            cuts[place] = _further(cuts[place], cut)
        elif cut.tensor not in gained:
            cuts[place] = cut
    return replace(
        first,
        method=second.method or first.method,
        edits=_edits(first, second),
        cuts=tuple(cuts.values()),
        emptied=(*first.emptied, *second.emptied),
        biased=(*first.biased, *second.biased),
        certificate=second.certificate,
        attributes=_resized(first, second),
    )


def _edits(first: Plan, second: Plan) -> tuple[Edit, ...]:
    """What sites lose in two plans, numbered as in the original."""
    edits = {(edit.site, len(edit.kept)): edit for edit in first.edits}
    for edit in second.edits:
        key = edit.site, edit.units  # a site of another size took the name of one that is gone
        edits[key] = _later(edits[key], edit) if key in edits else edit
    return tuple(edits.values())


def _resized(first: Plan, second: Plan) -> tuple[Resize, ...]:
    """Every attribute's value before the first plan and after the second."""
    resized = {(resize.module, resize.name): resize for resize in first.attributes}
    for resize in second.attributes:
        place = resize.module, resize.name
        resized[place] = replace(resized.get(place, resize), after=resize.after)
    return tuple(resized.values())


def _further(before: Cut, cut: Cut) -> Cut:
    """What two cuts of one axis remove, numbered as in the original."""
    kept = sorted(set(range(before.length)) - set(before.removed))
    return replace(before, removed=tuple(sorted((*before.removed, *(kept[entry] for entry in cut.removed)))))


def _later(before: Edit, edit: Edit) -> Edit:
    """A site's removals of two rounds, numbered as in the original."""
    kept = before.kept
    later = tuple(replace(removal, unit=kept[removal.unit]) for removal in edit.removed)
    takers = dict.fromkeys(taker for taker in (before.taken_over_by, edit.taken_over_by) if taker != NOTHING)
    return replace(
        edit,
        units=before.units,
        removed=before.removed + later,
        with_it=tuple(dict.fromkeys(before.with_it + edit.with_it)),
        taken_over_by=", ".join(takers) or NOTHING,
    )
