"""The driver's part of a search that is kept in an object store, which is all that its hosts share.

In: the search's linked folder, and which attempts at which trials begin, take over, and are of no
more use. Out: places of trials at the store, as `object_store/trials.py` lays them out; what a
process of a trial does there on its host is in `host.py`.

    the driver       puts the events of a moment by one request: before they take effect, which
                     is before an actor is answered, and before anything is removed or copied
                     answers a slot by a file, and one on another host by an object, too
                     removes what trials leave that can no longer win, in a thread of its own
    a trial's        begins an attempt: puts its number, and what counts of earlier attempts
    rank zero        goes on from its checkpoint, and puts one, as a run's does
                     is told its job with its work: where there was nothing, no object is asked for
    on other hosts   a process tells what it does every 2 s, by which the driver sees one that
                     hangs, and why it ends; it looks for the word to stop as often; what was told
                     and is of no more use it removes, so that what the driver lists stays short

Nothing waits for a listing or a marker of the whole search, and nothing is renamed: the winner's
checkpoint is copied, within the store, to the run that it becomes. What a driver writes that was
taken for dead counts for nothing (`object_store/generations.py`), so it looks for another one every
second, and before it removes anything, and not at each event.

What a trial costs, in requests that are waited for: of the driver, one put for each evaluation, one
where the trial ends or pauses, with what is suggested next, and one for the answer to a slot on
another host; of the trial, one more at its start, where nobody was there before. Reports are not
put together: a trial may save its state right behind one, and would not tell of it again.
`tests/bench/search_at_store.py` measures it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import final

from distrain.object_store.generations import Generation
from distrain.object_store.link import Link, link_of, linked
from distrain.object_store.live import forget_words
from distrain.object_store.trials import (
    Remover,
    put_trial_logs,
    remove_trials,
    take_state,
    trial_place,
    trials_there,
)


@final
class TrialPlaces:
    """The driver's part of a search at a store; made by `trial_places`.

    Args:
        link: the search's.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._links: dict[str, ExitStack] = {}
        self._remover = Remover(link)

    def __enter__(self) -> "TrialPlaces":
        self._link.has_trials = True
        self._remover.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.has_trials = False
        self._remover.close()
        for stack in self._links.values():
            stack.close()
        forget_words(self._link)

    def begin(self, folder: Path, attempt: int, num_taken: int) -> None:
        """Make a trial's folder that of its place, for an attempt at it.

        Args:
            folder: the trial's on this host.
            attempt: its number.
            num_taken: how often the trial has taken over another's state.
        """
        folder.mkdir(parents=True, exist_ok=True)
        link = self._link_to(folder, num_taken)
        link.generation = Generation(self._link.writer.fence, attempt)
        self._let_go(folder.name)
        self._links[folder.name] = ExitStack()
        self._links[folder.name].enter_context(linked(link))

    def take_over(self, folder: Path, num_taken: int, source: tuple[Path, int], step: int) -> None:
        """Give a trial the state that it goes on from, unless it has it.

        Args:
            folder: the trial's.
            num_taken: how often it has taken over, this time included.
            source: the other's folder, and how often that one has.
            step: of the other's state.
        """
        link = self._link_to(folder, num_taken)
        self._link.patiently(
            lambda: take_state(self._link_to(*source).place, step, link),
        )

    def forget(self, folder: Path, *, has_failed: bool) -> None:
        """Have removed what a trial has; of one that failed, its logs are kept."""
        if has_failed and folder.is_dir():
            with suppress(OSError):  # they are for a person to read, and the search goes on
                put_trial_logs(self._link, folder)
        self._let_go(folder.name)
        self._remover.add(folder.name)

    def there(self) -> set[str]:
        """Return the names of the trials that have something at the store."""
        return self._link.patiently(lambda: trials_there(self._link))

    def _link_to(self, folder: Path, num_taken: int) -> Link:
        link = Link(folder, trial_place(self._link.place, folder.name, num_taken))
        link.generation = Generation(self._link.writer.fence)
        link.patience_s = self._link.patience_s
        return link

    def _let_go(self, name: str) -> None:
        if name in self._links:
            self._links.pop(name).close()


@contextmanager
def trial_places(run_dir: Path) -> Iterator[TrialPlaces | None]:
    """Give the driver's part of a search, for the length of a block; None: its folder is shared.

    Args:
        run_dir: the sweep's folder, whose lease is taken.
    """
    link = link_of(run_dir)
    if link is None:
        yield None
        return
    with TrialPlaces(link) as places:
        yield places


def hand_over(sweep: Link, name: str, num_taken: int, winner: Link) -> None:
    """Give the run that a trial becomes the trial's state, and remove what the trial has.

    Args:
        sweep: the search's.
        name: of the trial's folder.
        num_taken: how often the trial has taken over another's state.
        winner: of the run, whose lease is taken.

    Raises:
        OSError: the store does not take it.
    """
    place = trial_place(sweep.place, name, num_taken)
    winner.patiently(lambda: take_state(place, None, winner))
    sweep.patiently(lambda: remove_trials(sweep, [name]))
