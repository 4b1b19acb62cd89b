"""What every test shares: property tests draw the same examples each time; `--hypothesis-profile search` draws new ones.

Helpers of one area live in its own folder.
"""

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

from company.llm.download import models_dir

os.environ["COMPANY_MODELS"] = str(models_dir())
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="company-cache-")
"""Tests' endpoints ask for pauses of hours, and what is kept of that must not reach a run of the user's, or other tests' ports."""
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
settings.register_profile("same", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("same")
