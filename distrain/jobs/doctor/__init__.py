"""What is unfit of a machine or a cluster, and how to mend it.

In: the address of a Ray cluster, or none for this machine; a configuration, or only a storage
folder. Out: a `Diagnosis`: findings, each ok, a warning or a fault, with what mends it.

    ask_nodes     one actor a node tells plain facts (`node_probe`, which is sent there by value)
    look_*        facts that this machine alone can tell: token, ports, runs, tracking server
    judge_*       pure functions from facts to findings
    examine       all of it, one after the other; leaves no file and no actor behind
"""
