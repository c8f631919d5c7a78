"""A process with one JSON request and one JSON answer: `python -m MODULE REQUEST ANSWER`, two JSON files."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError


def answer_request(answer: Callable[[Mapping[str, Any]], Any]) -> None:
    """Read the request, compute the answer, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    found = answer(json.loads(request_path.read_text(encoding="utf-8")))
    answer_path.write_text(json.dumps(found, indent=1), encoding="utf-8")


def answer_or_refuse(answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Answer the request of this process. A `ModelError` becomes the answer `{"refused": sentence}`."""

    def answered(request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return answer(request)
        except ModelError as error:
            return {"refused": str(error)}

    answer_request(answered)
