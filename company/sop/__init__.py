"""The procedure language: YAML text in, a checked `Procedure` out. Stages: loader → spec → linker.

Running a procedure: `company/compiler.py` and `company/nodes.py`.
"""
