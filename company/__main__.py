"""`python -m company` is the `company` command. The command line: `cli.py`.

Nothing else lives here.
"""

from company.cli import main

if __name__ == "__main__":
    main()
