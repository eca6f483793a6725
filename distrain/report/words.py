"""Figures in the words that tables, displays and lines of text share."""


def duration_text(seconds: float) -> str:
    """Return a duration in the two units that matter: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
