"""Files enter, batches leave.

In: what `data:` names (CSV, TSV, Parquet, IDX, a built-in), anywhere pyarrow can read. Out: a
prepared dataset, which is a folder of memory-mapped Arrow shards with a manifest, and from it the
batches of each training step.

`sources` finds and reads the files in runs of 65,536 rows, `profile` looks at the columns, `clean`
and `split` say which rows are for what, `features` turns columns into tensors, `prepare` drives
these on Ray Data and writes, `prepared` is the form on disk, `plan` says which rows make up a step,
`loader` brings them to a device.
"""
