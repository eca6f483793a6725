"""What a person reads: the live display of a command, the tables it ends with, and pages.

Enters: stages and progress records of a run, the results of commands, and the folders of runs.
Leaves: text on a terminal or in a pipe, and HTML. Nothing here computes a result. It stands below
the pipeline, which writes a run's page at its end.
"""
