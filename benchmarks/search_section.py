"""The table of the search beside every method alone, as Markdown."""

from typing import Any

from benchmarks.sections import Result, source, spread, table

Record = dict[str, Any]


def search(result: Result) -> str:
    """What a search finds beside what every method alone leaves under the same limit."""
    return "\n".join(
        [
            "## A search beside every method alone",
            "",
            f"The best network under a limit on multiply-adds, before any training: a search over {result['settings']['trials']} candidates, and every method alone, both by its own order "
            "over all sites and with the same share off each, mended with `reconstruct` on the usual number of rows. Test quality in points (mean ± standard deviation over seeds). "
            "`best alone` is the one with the best validation quality of all methods and both spreads: as much knowledge of validation data as the search has. `at equal compute`: that "
            "one again, mended on as many more rows as the search's processor seconds pay for (or as there are, or 4,096). Test data is looked at once, after the choice; `worst alone` says what a wrong guess costs.",
            "",
            *_found(result),
        ]
    )


def images(result: Result) -> str:
    """The same on images."""
    settings = result["settings"]
    (network,) = settings["network"]
    return "\n".join(
        [
            "### On images",
            "",
            f"The published network as it is, {settings['trials']} candidates, each mended on {network['rows']} images, the one that is found on 1,024. There are no images that the "
            "network was not trained on but the test's: validation is on training images. One seed.",
            "",
            *_found(result),
        ]
    )


def _found(result: Result) -> list[str]:
    """The table, what it says, and where it is from."""
    records = result["records"]
    groups = list(dict.fromkeys((record["network"], record["limit"]) for record in records))
    rows = [_row([one for one in records if (one["network"], one["limit"]) == group]) for group in groups]
    head = [
        "network",
        "MACs left",
        "seeds",
        "untouched",
        "search",
        "best alone by validation",
        "the same at equal compute",
        "worst alone",
        "search, s",
        "one alone, s",
    ]
    return [table(head, rows), "", _verdict(records), "", source(result)]


def _row(records: list[Record]) -> list[str]:
    first = records[0]
    tests = {
        "untouched": [one["untouched"]["test"] for one in records],
        "search": [one["search"]["quality"]["test"] for one in records],
        "alone": [_best(one)["quality"]["test"] for one in records],
        "equal": [one["equal_compute"][0]["quality"]["test"] for one in records],
        "worst": [min(each["quality"]["test"] for each in _alone(one)) for one in records],
    }
    seconds = sum(one["search"]["seconds"] for one in records) / len(records)
    single = sum(_best(one)["seconds"] + _best(one)["scored"] for one in records) / len(records)
    shown = [spread(values) if len(values) > 1 else f"{values[0]:.2f}" for values in tests.values()]
    return [first["network"], f"{first['limit']:.0%}", str(len(records)), *shown, f"{seconds:.0f}", f"{single:.1f}"]


def _alone(record: Record) -> list[Record]:
    return [one for one in record["alone"] if "quality" in one]


def _best(record: Record) -> Record:
    return max(_alone(record), key=lambda one: one["quality"]["validation"])


def _verdict(records: list[Record]) -> str:
    """How often the search is ahead."""
    ahead = [one["search"]["quality"]["test"] - _best(one)["quality"]["test"] for one in records]
    equal = [one["search"]["quality"]["test"] - one["equal_compute"][0]["quality"]["test"] for one in records]
    most = [one["search"]["quality"]["test"] >= max(each["quality"]["test"] for each in _alone(one)) for one in records]
    return (
        f"Of {len(records)} run{'s' if len(records) > 1 else ''} the search is ahead of the best alone in {sum(gain > 0 for gain in ahead)} and behind in {sum(gain < 0 for gain in ahead)} "
        f"(mean difference {sum(ahead) / len(ahead):+.2f} points), ahead of the same at equal compute in {sum(gain > 0 for gain in equal)} and behind in "
        f"{sum(gain < 0 for gain in equal)} ({sum(equal) / len(equal):+.2f}); in {sum(most)} no method alone is better on the test data, which nobody could have chosen by."
    )
