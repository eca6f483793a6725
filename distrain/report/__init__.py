"""What a person reads: the live display of a command, and the tables it ends with.

Enters: stages and progress records of a run, and the results of commands. Leaves: text on a
terminal or in a pipe. Nothing here computes a result.
"""
