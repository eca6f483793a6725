"""The report of a training run: `<run>/report.html`.

    the run's folder  --story.py, view.py-->  frozen values  --a module per section-->  one page

Enters: a run's folder, whole or of a run that goes on, failed or was killed. Leaves: one HTML file.
What the journal tells is read once (`story.py`); where the time went is worked out from it
(`clock.py`); sections draw what `view.py` has gathered, and compute no result of their own.
"""
