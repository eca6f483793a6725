"""Durations in words, the same in the terminal, in reports and at MLflow. Pure."""


def duration_text(seconds: float) -> str:
    """Return a duration in the units that matter: 240 ms, 4.2 s, 3 min 5 s, 2 h 10 min."""
    if 0 < round(1000 * seconds) < 1000:
        return f"{1000 * seconds:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
