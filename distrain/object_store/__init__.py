"""Runs that are kept in an object store: hosts share nothing else, and each works in a folder.

In: the URI that `storage` names. Out: a folder of this host that the rest of distrain works in as
in any other, and what is committed there, in the store. See `generations.py` for what lies where,
and why a driver that was taken for dead can do no harm.

    place.py        what a URI names            bucket.py       objects: whole, once, listed
    generations.py  which of them count         link.py         a folder and its place at the store
    claims.py       who drives a run            work_folder.py  the folder on this host
    checkpoints.py  manifest last               pieces.py       the journal
    parts.py        the ledger                  files.py        all else; result.json the last
    live.py         what goes on meanwhile      runs.py         the runs that there are
    work_link.py    both, for a command or a worker
    fitness.py      whether a store can do it       kept_folder.py  a folder beside the runs
    trials.py       those of a search
"""
