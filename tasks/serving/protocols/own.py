"""The server's own protocol: a file, a text or a JSON list to `/answer`; answers with who gave them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from stillhouse.tasks.serving.bodies import kind_of, read
from stillhouse.tasks.serving.protocols.asked import Asked
from stillhouse.tasks.serving.served import Answer, Served


class Own:
    """`POST /answer`."""

    def read(self, headers: Mapping[str, str], content: bytes, taken: Collection[str]) -> Asked:
        """Read a file, a text, or JSON with one list."""
        kind = kind_of(headers.get("content-type", ""), headers.get("content-encoding", ""))
        return Asked(*read(kind, content, taken))

    def write(self, served: Served, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:  # noqa: ARG002
        """Return the answers, and the model, its version and its digest."""
        return {**served.who, "answers": list(answers)}
