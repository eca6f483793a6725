from types import SimpleNamespace
from typing import Any

import pytest

from distrain.track.describe import version_note
from distrain.track.version_page import (
    MAX_LENGTH,
    end_line,
    fitting,
    move_line,
    name_itself,
    tell_move,
)

LINE = move_line("champion", "2026-11-30T20:00:00+00:00", "ann", "better by more than chance")


class FakeRegistry:
    """A registry with one version."""

    def __init__(self, description: str | None) -> None:
        self.description = description
        self.num_updates = 0

    def get_model_version(self, _: str, __: str) -> Any:
        """Return the version."""
        return SimpleNamespace(description=self.description)

    def update_model_version(self, _: str, __: str, description: str) -> None:
        """Take another description."""
        self.description = description
        self.num_updates += 1


def test_a_version_names_itself_in_the_line_to_paste_once_it_has_a_number() -> None:
    registry: Any = FakeRegistry(version_note("adult", {}, {}))

    for _ in range(2):
        name_itself(registry, "adult", "3")

    assert 'load_model("models:/adult/3")' in registry.description
    assert registry.num_updates == 1


def test_who_gave_an_alias_when_and_why_stands_in_the_description_once() -> None:
    registry: Any = FakeRegistry("Trained.")

    for _ in range(2):
        tell_move(registry, "adult", "3", LINE)

    assert registry.description == (
        "Trained.\n\n**champion** since 2026-11-30T20:00:00+00:00, given by ann: "
        "better by more than chance"
    )


@pytest.mark.parametrize("description", [None, "x" * MAX_LENGTH])
def test_a_move_is_told_where_there_is_no_description_or_no_room(description: str | None) -> None:
    registry: Any = FakeRegistry(description)

    tell_move(registry, "adult", "3", LINE)

    assert registry.description.endswith(LINE)
    assert len(registry.description) <= MAX_LENGTH


def test_a_full_description_is_cut_before_its_moves_and_keeps_the_last() -> None:
    ended = end_line("champion", "2026-11-30T21:00:00+00:00", "version 4")
    registry: Any = FakeRegistry(f"{'x' * 4900}\n\n{LINE}"[:MAX_LENGTH])

    tell_move(registry, "adult", "3", ended)

    assert registry.description.startswith("xxx")
    assert registry.description.endswith(f"x\n\n...\n\n{LINE}\n\n{ended}")
    assert len(registry.description) == MAX_LENGTH


def test_of_more_moves_than_there_is_room_for_the_oldest_go() -> None:
    registry: Any = FakeRegistry("Trained.")
    lines = [
        move_line("champion", f"2026-11-30T20:00:{n}+00:00", "ann", "y" * 400)
        for n in range(10, 30)
    ]

    for line in lines:
        tell_move(registry, "adult", "3", line)

    assert len(registry.description) <= MAX_LENGTH
    assert registry.description.endswith(lines[-1])
    assert lines[-8] in registry.description
    assert lines[0] not in registry.description


def test_why_an_alias_was_given_is_one_line() -> None:
    line = move_line("champion", "2026-11-30T20:00:00+00:00", "ann", "better\n\n# than | it")

    assert line.endswith("given by ann: better # than \\| it")


def test_a_registry_that_refuses_a_description_does_not_undo_the_move(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mlflow.exceptions import MlflowException

    class Refusing(FakeRegistry):
        def update_model_version(self, _: str, __: str, description: str) -> None:
            raise MlflowException.invalid_parameter_value(f"{len(description)} are too many")

    registry: Any = Refusing("Trained.")

    tell_move(registry, "adult", "3", LINE)

    assert "does not tell of its alias" in caplog.text


def test_a_description_is_cut_to_what_databases_take() -> None:
    assert fitting("short") == "short"
    assert len(fitting("x" * 6000)) == MAX_LENGTH
