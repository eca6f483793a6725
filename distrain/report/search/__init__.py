"""The page of a search: who won and why, what was stopped or failed, and where the time went.

In: a search's folder, while it goes on or after its end, however it ended. Out: one HTML page.

    events -> told.py -> facts.py -> standings.py, savings.py, importance.py, surface.py
                                        -> figures and sections -> page.py

Nothing is computed where it is drawn; every number on the page follows from the events and the
result alone.
"""
