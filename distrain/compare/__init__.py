"""Runs beside each other: what differs in what they were made from, and what came of that.

Enters: the folders of runs, or of searches, below any storage. Leaves: one value for a table, a
page and JSON: what differs (configuration, libraries, machine, code, data), what followed from it
(rows, metrics with intervals, time), and how much was the same. Nothing is written; no server is
asked, and no Ray is started.
"""
