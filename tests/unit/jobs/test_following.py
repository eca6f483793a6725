"""What of a log is shown while it comes."""

from distrain.jobs.ending import Ending, ending_line
from distrain.jobs.following import Shown


def test_whole_lines_are_shown_once_though_the_connection_broke() -> None:
    shown: list[str] = []
    log = Shown(shown.append)

    log.begin()
    log.add("one\ntw")
    log.begin()  # a new connection begins with the log's beginning
    log.add("one\ntwo\nth")
    log.all_of("one\ntwo\nthree")

    assert "".join(shown) == "one\ntwo\nthree\n"


def test_the_line_for_programs_is_not_shown() -> None:
    shown: list[str] = []

    Shown(shown.append).all_of(f"one\n{ending_line(Ending(0, None))}\n")

    assert "".join(shown) == "one\n"
