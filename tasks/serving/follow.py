"""Follow the alias `champion`: open the new version beside the old one, and switch only after it is ready."""

import threading
import time

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.registry.versions import CHAMPION, find_aliased, version_of
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.serving.served import Served

POLL_SECONDS = 2.0


class Follower:
    """Holds the served version. A request keeps the version with which it began."""

    def __init__(self, client: MlflowClient, model: str) -> None:
        """Open the champion.

        Raises:
            StillhouseError: there is no champion, or it cannot be served.
        """
        self._client, self._model = client, model
        self.current: Served = self._open(self._champion())
        self.problem: str | None = None
        """Reason why the served version is not the champion, or `None`."""

    def start(self) -> None:
        """Follow the alias until the process ends."""
        threading.Thread(target=self._follow, name="follow the champion", daemon=True).start()

    def _follow(self) -> None:
        while True:
            time.sleep(POLL_SECONDS)
            self.look()

    def look(self) -> None:
        """Switch to a new champion.

        If it cannot be served, or the registry does not answer, the old version stays.
        """
        try:
            champion = self._champion()
            if champion != self.current.version:
                self.current = self._open(champion)
            self.problem = None
        except (StillhouseError, MlflowException, OSError) as error:
            self.problem = " ".join(str(error).split())[:300]

    def _champion(self) -> str:
        version = find_aliased(self._client, self._model, CHAMPION)
        if version is None:
            msg = f"{self._model} has no version with the alias {CHAMPION}; promote one"
            raise StillhouseError(msg)
        return version

    def _open(self, version: str) -> Served:
        return open_served(version_of(self._client, self._model, version))
