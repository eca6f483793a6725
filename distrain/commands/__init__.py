"""The commands, one function each: words in, one function of distrain called, its result printed.

In: the command line's words and options, each declared once in `options.py`. Out: the exit code.
Heavy libraries are imported inside the commands, so that `distrain --help` answers at once. They
are shown by `--help` in the order in which `cli.py` adds them.
"""
