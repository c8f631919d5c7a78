"""Numbers with their units, as people read them. Reasons, tables and plots all use these functions."""

KILO = 1000
MINUTE = 60
HOUR = 3600


def percent(fraction: float) -> str:
    """Write a share of one: 0.9921 -> '99.21 %'."""
    return f"{100 * fraction:.2f} %"


def percent_limit(fraction: float) -> str:
    """Write a limit as a share, without needless decimals: 0.99 -> '99 %'."""
    return f"{100 * fraction:.6g} %"


def times(ratio: float) -> str:
    """Write a ratio with about three digits: 70.13 -> '70.1x', with the multiplication sign."""
    return f"{_three_digits(ratio)}\N{MULTIPLICATION SIGN}"


def times_limit(ratio: float) -> str:
    """Write a limit as a ratio: 50.0 -> '50x', with the multiplication sign."""
    return f"{ratio:g}\N{MULTIPLICATION SIGN}"


def points(change: float) -> str:
    """Write a signed difference of two shares in percentage points: -0.0016 -> '-0.16'."""
    text = f"{100 * change:+.2f}".replace("-", "\N{MINUS SIGN}")
    return "0.00" if text[1:] == "0.00" else text


def size(count: float) -> str:
    """Write bytes in decimal units: 66300 -> '66.3 kB'."""
    if count < KILO:
        return f"{count:.0f} B"
    if count < KILO**2:
        return f"{_three_digits(count / KILO)} kB"
    return f"{_three_digits(count / KILO**2)} MB"


def mebibytes(count: float) -> str:
    """Write memory in binary units, as operating systems do: 13037568 -> '12.4 MiB'."""
    return f"{_three_digits(count / 2**20)} MiB"


def milliseconds(duration_ms: float) -> str:
    """Write a latency in milliseconds: 0.11643 -> '0.116 ms'."""
    return f"{_three_digits(duration_ms)} ms"


def duration(seconds: float) -> str:
    """Write a duration: 123.4 -> '2 min 03 s'."""
    if seconds < 10:  # noqa: PLR2004 - below ten seconds the tenths are worth reading
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE:02d} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE:02d} min"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"  # noqa: PLR2004 - above, .3g turns to 1e+02
