"""What every test shares: property tests draw the same examples each time; `--hypothesis-profile search` draws new ones.

Helpers of one area live in its own folder.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("same")
