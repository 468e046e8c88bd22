"""Numbers as readers want them: short, with their unit, and never more precise than they are."""

import math

NOTHING = "–"
THIN = "\u202f"  # a narrow space that does not break
MINUS = "\u2212"


def exact(number: float) -> str:
    """Every digit: 331,562."""
    return signed_off(f"{number:,.0f}") if math.isfinite(number) else score(number)


def short(number: float) -> str:
    """Three digits: 332 k, 1.23 M."""
    return _scaled(number, 1000.0, ("", "k", "M", "G", "T", "P"))


def size(size_bytes: float) -> str:
    """Decimal bytes: 1.33 MB."""
    return _scaled(size_bytes, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"))


def milliseconds(time_ms: float) -> str:
    """Three digits: 0.123 ms, 12.3 ms."""
    return f"{three(time_ms)}{THIN}ms"


def seconds(time: float) -> str:
    """0.42 s, 12.3 s, 4 min 10 s."""
    if not math.isfinite(time) or time < 120:
        return f"{three(time)}{THIN}s"
    return f"{int(time // 60):,}{THIN}min {int(time % 60)}{THIN}s"


def score(value: float | None) -> str:
    """Four significant digits, whatever the size."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"
    return signed_off("∞" if value > 0 else "-∞") if math.isinf(value) else signed_off(f"{value:.4g}")


def three(value: float) -> str:
    """Three significant digits without an exponent, where that is readable."""
    if not math.isfinite(value) or (value and not 1e-4 <= abs(value) < 1e15):
        return score(value)
    decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return signed_off(f"{value:,.{decimals}f}")


def rough(value: float) -> str:
    """One significant digit, as much as a spread deserves."""
    return score(float(f"{value:.1g}"))


def percent(share: float) -> str:
    """A share as a percentage: 78.4 %; nearly all is not called all, nor nearly nothing nothing."""
    if not math.isfinite(share):
        return score(share)
    value = 100 * share
    if 99.9 < value < 100:
        return f"{math.floor(100 * value) / 100:.2f}{THIN}%"
    text = three(value) if 0 < abs(value) < 0.1 else signed_off(f"{value:,.1f}").removesuffix(".0")
    return f"{text}{THIN}%"


def change(before: float, after: float) -> str:
    """What share went or came: −78.4 %."""
    if not before or not math.isfinite(before) or not math.isfinite(after):
        return NOTHING
    share = after / before - 1
    return f"{'+' if share > 0 else ''}{percent(share)}"


def times(ratio: float) -> str:
    """A factor: 3.9×, 24×, 1,250×."""
    if not math.isfinite(ratio):
        return f"{score(ratio)}×"
    return f"{ratio:,.1f}×" if ratio < 10 else f"{ratio:,.0f}×"


def points(before: float, after: float) -> tuple[str, str, str]:
    """Two qualities and their difference, with one decimal, or two where the difference is below a tenth."""
    if not math.isfinite(before) or not math.isfinite(after):
        return score(before), score(after), NOTHING
    decimals = 2 if 0 < abs(after - before) < 0.1 else 1
    shown = round(after, decimals) - round(before, decimals)
    difference = f"{shown:+.{decimals}f}" if round(shown, decimals) else "±0"
    first, last = (signed_off(f"{value:.{decimals}f}") for value in (before, after))
    return first, last, signed_off(difference)


def plural(count: int, word: str) -> str:
    """1 unit, 2 units."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def signed_off(text: str) -> str:
    """The text with a real minus sign in front."""
    return MINUS + text[1:] if text.startswith("-") else text


def _scaled(number: float, base: float, units: tuple[str, ...]) -> str:
    if not math.isfinite(number):
        return score(number)
    step = 0
    while abs(number) >= 999.5 and step < len(units) - 1:
        number, step = number / base, step + 1
    shown = f"{number:.0f}" if step == 0 and float(number).is_integer() else three(number)
    return f"{signed_off(shown)}{THIN}{units[step]}".rstrip(THIN)
