"""A cluster's front: a command of the user's enters, a Ray job and its result leave.

    plan.py        what was asked for, checked here      refusals.py    what cannot work there
    user_files.py  the user's code that goes along       files.py       what ignore files keep here
    uploads.py     data that goes along                  variables.py   variables that go along
    package.py     all of it as one archive              ticket.py      what the job is told
    dashboard.py   requests to the cluster's front
    whereabouts.py whether it is this very machine       request.py     what Ray is asked for
    submission.py  sent, and begun once                  job.py         a job, as it is known there
    following.py   its log, its end, its stop            ending.py      how it says what came of it
    supervision.py again, after the head died            begun.py       the run to go on with
    seen_run.py    the run that a resume names, from here
    doctor/        what is unfit, and what mends it      chaos/         a job under faults
    local_cluster.py   a Ray of several nodes on this machine
    ray_nodes.py   its nodes, and those of chaos/   sessions.py   processes that are found again

Ray's own client is not used: its requests have no time limit, so that a watcher would wait for ever
on a cluster that was cut off, and its import takes longer than all the rest of a submission. What
is spoken is Ray's documented REST interface for jobs. `distrain/as_job.py` is what runs there.
"""
