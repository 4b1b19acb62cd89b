"""Measuring procedures and models on real problems: data sets, judging, runs, statistics, tables and pictures."""
