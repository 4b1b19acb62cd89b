"""The studio: a local web application that shows the runs of a workspace, and starts, stops and answers them.

It reads journals, database and git; runs are processes of their own: `desk.py`. Which page is where: `app.py`.
"""
