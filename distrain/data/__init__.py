"""Files enter, batches leave.

In: what `data:` names (tables, images, text, a built-in), anywhere pyarrow can read. Out: a
prepared dataset, which is a folder of memory-mapped Arrow shards with a manifest, and from it the
batches of each training step.

In the order of the flow, where each begins:

- `sources` lists the files; `opening` reads their beginnings and tells what is wrong with them;
  `units` cuts them into what one task reads; `runs` reads a unit as runs of 65,536 rows
  (`csv_files`, `json_files`, `parquet_files`, `arrow_files`, `numpy_files`, `npz_files`,
  `image_files`, `text_examples`, `idx_files`, `builtin` by format); `on_ray` does so on Ray Data,
  whose tasks hand over results as `plain_values`: JSON and bytes.
- `prepare` is the driver; its passes are `survey` (each run: `profile`) and `making` (each run:
  `fit`, `write`). Between them `target`, `kinds`, `split`, `clean` and `rows` say what is
  predicted, what columns are and which rows are for what; `findings` is what a user is told;
  `cache` keeps and finds what was made, `remote_cache` where that is remote storage.
- `features` is the fitted transform between raw columns and tensors, also used at prediction.
- `prepared` is the form on disk, `mapped` the rows of a split, from `shard_files`: a folder, or the
  node's copies in a `shard_cache`. `plan` says which rows make up a step, `loader` brings them to a
  device. All of these and `features` need numpy, pyarrow and torch alone.
- With `ingest: stream`, `recipe` is what makes the training shards again, `streamed` brings them to
  a worker window by window (`blocks` are the plan's), from a hub of `stream_on_ray` or, without
  Ray, from the worker's own process.
"""
