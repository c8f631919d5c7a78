"""A process with one JSON request and one JSON answer: `python -m MODULE REQUEST ANSWER`, two JSON files."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def answer_request(answer: Callable[[Mapping[str, Any]], Any]) -> None:
    """Read the request, compute the answer, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    found = answer(json.loads(request_path.read_text(encoding="utf-8")))
    answer_path.write_text(json.dumps(found, indent=1), encoding="utf-8")
