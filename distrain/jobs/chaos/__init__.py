"""The user's own job under faults: small, on a private Ray, beside the same job undisturbed.

In: configuration files and overrides. Out: a table of what each fault cost and whether the run came
to the same end. `survey.py` does it in order; everything lies below one temporary folder, and every
process belongs to a session that was started here and is ended by its id.
"""
