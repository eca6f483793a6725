"""A run's past, as its journal tells it: commands, attempts, values, and where the time went.

In: a journal's folder. Out: what was recorded, gathered in one pass, and the parts of the time. The
descriptions at MLflow, the comparison and the report are told by this alone, so that they agree.
"""
