"""A cluster's front: a command of the user's enters, a Ray job and its result leave.

    plan.py       what was asked for, checked here       refusals.py   what cannot work there
    files.py      which files go along, ignored ones not  package.py   them as one archive
    variables.py  which variables go along               ticket.py     what the job is told
    dashboard.py  requests to the cluster's front        token.py      what it asks for, kept secret
    submission.py the package sent, and run once         following.py  its log, its end, its stop
    ending.py     how a job says what came of it         supervision.py  again, after the head died

Ray's own client is not used: its requests have no time limit, so that a watcher would wait for ever
on a cluster that was cut off, and its import takes longer than all the rest of a submission. What
is spoken is Ray's documented REST interface for jobs. `distrain/as_job.py` is what runs there.
"""
