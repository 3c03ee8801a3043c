"""Sizes and durations in words."""


def bytes_in_words(count: int) -> str:
    """Returns a number of bytes in decimal units, e.g. `"4.3 kB"` (1 kB is 1000 bytes)."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        # What rounds up to 1000.0 of the smaller unit is shown in the larger.
        if count >= 0.99995 * factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
