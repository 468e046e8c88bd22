"""The best small network for each table as Markdown: on fresh seeds, twice, and as the protocol was found."""

import statistics

from benchmarks.sections import Result, mean, source, spread, table, widths

NUMBERS = {2: "Two", 3: "Three"}


def tables_averaged(result: Result) -> str:
    """The best small network for each table, recovered with averaged weights."""
    return "\n".join(
        [
            "## Dense networks on tables, with averaged weights",
            "",
            "**Fixed before it was run**: the experiment file was committed before any figure was seen, nothing was changed afterwards, and its seeds are new (splits, weights and orders; adult's "
            "test file is the same for all). What differs from the next section is the recovery: the weights averaged over its steps, and twice the epochs on tables of 3,000 to 20,000 rows; and the "
            "share of 70 % is not tried. These changes were settled on other tables (scikit-learn's generated ones and its diabetes), with a look at their test data, and none of those below.",
            "",
            _counted(result),
            "",
            "**Short of the aim** of 10 tables of 13 without any loss, by one: naval lost 0.01 points of 100 · R² (another table without noise, friedman2, lost such a hundredth until it was trained three times as long); kin8nm 0.04, a quarter of "
            "its standard error; sonar one of 42 test rows on one seed; concrete 0.43, where both rivals and the original, trained on, lose nearly as much, so it is the further "
            "training that costs there, not the cut. `dense` is not better than the rivals here either, and on protein further training alone gives more than it.",
            "",
            source(result),
        ]
    )


def tables_fresh(result: Result) -> str:
    """The best small network for each table, on seeds that nothing was chosen by."""
    return "\n".join(
        [
            "## Dense networks on tables, on fresh seeds",
            "",
            "**Fixed before it was run**: the experiment file was committed before any figure was seen, and nothing was changed afterwards. It is the "
            "protocol of the next section with other seeds (other splits, weights and orders; adult's test file is the same for all seeds), "
            "and with 50 % instead of 46 % as the smaller share, so that every table ends under 30 % of the parameters. An earlier run was stopped "
            "after 14 of 39 jobs, of which 12 were looked at, and begun anew from nothing; no setting was changed in between.",
            "",
            _counted(result),
            "",
            "**Short of the aim** of 10 tables of 13 without any loss. The losses are of three kinds: energy, kin8nm, naval and adult lost 0.00 to 0.11 points; sonar and "
            "ionosphere (42 and 70 test rows) a row each, within the spread of the splits; concrete 0.7 points, where `magnitude` and torch-pruning lost nothing. `dense` is not "
            "better than either rival here, and on protein further training alone gives more than it.",
            "",
            source(result),
        ]
    )


def tables_best(result: Result) -> str:
    """The best small network for each table."""
    return "\n".join(
        [
            "## Dense networks on tables: over 70 % of the parameters gone",
            "",
            _counted(result),
            "",
            "**How this protocol came about.** Within the run, nothing is chosen by test data. But it is the third protocol on these tables: the "
            "one-shot experiment below came first (3 of 13); then these rounds with 5 epochs of recovery on the two large tables (`tables_best.json`, "
            "8 of 13; protein -1.52, adult +0.09 points); then 15 epochs there (this one). Rounds, learning rate and epochs were picked after trial runs on some of the same "
            "tables and seeds that printed test quality beside validation quality. So the counts are somewhat flattered; the clean figure is the one on fresh seeds, above. "
            "Tables with an RPR of 30 % or more (adult, ionosphere) do not count, whatever their quality.",
            "",
            "How to read it: with 42 to 300 test rows (sonar, ionosphere, boston, energy, concrete, banknote, wine_red) one row is 0.3 to 2.4 points of "
            "accuracy, so a change is only worth its standard error. Two things decided more than the choice of units: cutting in "
            "rounds instead of at once, and recovering long enough (compare the one-shot experiment below, which took the *largest* share that held the "
            "validation quality). Small networks from scratch are worse nearly everywhere: the inherited weights are worth keeping. Further "
            "training alone improves some originals as well (`trained on`): there, part of the gain is not the cut's.",
            "",
            source(result),
        ]
    )


def _counted(result: Result) -> str:
    """What was done, the counts, and the table."""
    records, settings = result["records"], result["settings"]
    names = list(dict.fromkeys(record["table"] for record in records))
    grouped = {name: [record for record in records if record["table"] == name] for name in names}
    gains = {name: [r["best"]["test"] - r["untouched"]["test"] for r in rows] for name, rows in grouped.items()}
    small = [name for name in names if mean(r["rpr"] for r in grouped[name]) < 30]
    held = [name for name in small if mean(gains[name]) >= 0]
    near = [name for name in small if mean(gains[name]) >= -_error(gains[name])]
    better = [name for name in small if mean(gains[name]) > 0.1]
    tried = "; ".join(f"`{c['measure']}`, {c['share']:.0%} of the neurons" for c in settings["candidate"])
    decay = settings["recovery"].get("ema_decay")
    average = f", its weights averaged over the steps (`ema_decay={decay:g}`)" if decay else ""
    return "\n".join(
        [
            f"Over-sized nets of {widths(settings['network']['hidden'])} neurons, cut in {settings['rounds']} rounds of `dense`, each mended by `reconstruct` and recovered with the original as teacher{average}. "
            f"{NUMBERS[len(settings['candidate'])]} settings are tried ({tried}), and the one with the best *validation* quality is kept. "
            f"{len(settings['seeds'])} seeds; means, ± the standard deviation over seeds; `change` with its standard error.",
            "",
            f"- No test quality lost (mean change at least 0): **{len(held)} of {len(names)}** tables ({', '.join(held) or 'none'}).",
            f"- No loss beyond one standard error of the change: {len(near)} of {len(names)}"
            f" (not: {', '.join(n for n in names if n not in near) or 'none'}).",
            f"- Better than the original by more than 0.1 points: {len(better)} ({', '.join(better) or 'none'}).",
            "",
            "Rivals get the same share, rounds and training; `magnitude` also the same compensation. `trained on` is the original with as "
            "much further training, `from scratch` the chosen shape trained from random weights with the original's settings.",
            "",
            _best_rows(grouped, gains),
        ]
    )


def _best_rows(grouped: dict[str, list[Result]], gains: dict[str, list[float]]) -> str:
    rows = []
    for name, records in grouped.items():
        rows.append(
            [
                name,
                " ".join(f"{r['chosen']['measure'][0]}{r['chosen']['share']:.0%}" for r in records),
                f"{mean(r['rpr'] for r in records):.1f}",
                spread(r["untouched"]["test"] for r in records),
                spread(r["best"]["test"] for r in records),
                f"{mean(gains[name]):+.2f} ± {_error(gains[name]):.2f}",
                spread(r["rivals"]["magnitude"]["test"] for r in records),
                spread(r["torch_pruning"]["test"] for r in records),
                spread(r["trained_on"]["test"] for r in records),
                spread(r["from_scratch"]["test"] for r in records),
            ]
        )
    head = ["table", "chosen", "RPR %", "original", "`dense`", "change", "`magnitude`", "torch-pruning", "trained on"]
    return table([*head, "from scratch"], rows)


def _error(values: list[float]) -> float:
    """The standard error of a mean."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
