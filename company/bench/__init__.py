"""Measuring procedures and models on real problems: data sets, hidden judges, runs that are paid for once, rows of results.

`tasks.py` says what a problem is, `datasets.py` where problems come from, `runner.py` runs the whole product on each of
them, `judging.py` decides in the sandbox. The command: `company/cli_bench.py`.
"""
