"""A process of TensorFlow's environment: it answers a request, or it refuses it in one sentence."""

from collections.abc import Callable, Mapping
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_request


def answer_or_refuse(answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Answer the request of this process. A `ModelError` becomes the answer `{"refused": sentence}`."""

    def answered(request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return answer(request)
        except ModelError as error:
            return {"refused": str(error)}

    answer_request(answered)
