"""Runs jobs in the sandbox as whoever starts it, a JSON object a line. Started by `conftest.py`."""

import asyncio
import base64
import dataclasses
import json
import sys
import traceback

from company.sandbox import Limits, Spec
from company.sandbox.bubblewrap import Bubblewrap


async def answer(asked: dict) -> dict:
    spec = Spec(
        argv=tuple(asked["argv"]),
        files={path: base64.b64decode(content) for path, content in asked["files"].items()},
        stdin=base64.b64decode(asked["stdin"]),
        limits=Limits(**asked["limits"]),
        report=asked["report"],
    )
    result = dataclasses.asdict(await Bubblewrap().run(spec))
    return {**result, "report": base64.b64encode(result["report"]).decode()}


for line in sys.stdin:
    try:
        reply = asyncio.run(answer(json.loads(line)))
    except Exception:  # noqa: BLE001 - the other side fails the test with it
        reply = {"error": traceback.format_exc()}
    print(json.dumps(reply), flush=True)
