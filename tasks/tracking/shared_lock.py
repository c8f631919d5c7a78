"""A lock between hosts that share only MLflow: a registered model without versions, which exists during the work.

MLflow refuses a second registered model of one name, in one step of its database. So only one host holds the lock.
A host that was killed leaves its lock. The same host takes it over at once, and another host after `LEASE`. A holder
checks that it still has the lock before each step that others can see.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.runs import name_host
from stillhouse.tasks.tracking.tags import PREFIX

LEASE = 600.0
"""Seconds after which a lock of another host is taken for that of a dead process."""
PATIENCE = 60.0
"""Seconds for which a process waits for the lock."""
POLL = 0.2
TAKEN = "RESOURCE_ALREADY_EXISTS"
HOLDER, TOKEN = f"{PREFIX}lock_holder", f"{PREFIX}lock_token"
ABOUT = "A lock of Stillhouse, held while a champion moves. It is deleted at the end of the move."


@dataclass(frozen=True)
class SharedLock:
    """A lock that this process holds."""

    client: MlflowClient
    name: str
    token: str

    def expect_held(self) -> None:
        """Check that no other host took the lock over.

        Raises:
            ServiceError: another host has the lock.
        """
        found = _find(self.client, self.name)
        if found is None or found.tags.get(TOKEN) != self.token:
            msg = f"another host took the lock {self.name} over, because this one was too slow; do it again"
            raise ServiceError(msg)


@contextmanager
def holding(client: MlflowClient, name: str) -> Iterator[SharedLock]:
    """Hold a lock. Only one process of a host may call this at one time for one name.

    Raises:
        ServiceError: another host has held the lock for a minute. The message names that host.
    """
    lock = SharedLock(client, name, uuid.uuid4().hex)
    _acquire(lock)
    try:
        yield lock
    finally:
        with suppress(ServiceError):
            lock.expect_held()
            _delete(client, name)


def _acquire(lock: SharedLock) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _create(lock):
        held = _find(lock.client, lock.name)
        if held is None:
            continue
        if held.tags.get(TOKEN) == lock.token:
            return  # MLflow had made it, and its answer was lost
        if _is_left(held):
            _delete(lock.client, lock.name)
        elif time.monotonic() > deadline:
            msg = (
                f"{held.tags.get(HOLDER, 'another host')} has the lock {lock.name}; wait until that host ends its "
                f"work, or for {LEASE / 60:.0f} minutes if it was killed, and do it again"
            )
            raise ServiceError(msg)
        else:
            time.sleep(POLL)


def _create(lock: SharedLock) -> bool:
    tags = {HOLDER: name_host(), TOKEN: lock.token}
    try:
        lock.client.create_registered_model(lock.name, tags=tags, description=ABOUT)
    except MlflowException as error:
        if error.error_code != TAKEN:
            raise
        return False
    return True


def _is_left(held: RegisteredModel) -> bool:
    age = time.time() - held.creation_timestamp / 1000
    return bool(held.tags.get(HOLDER) == name_host() or age > LEASE)


def _find(client: MlflowClient, name: str) -> RegisteredModel | None:
    try:
        with answering():
            return client.get_registered_model(name)
    except AbsentError:
        return None


def _delete(client: MlflowClient, name: str) -> None:
    with suppress(AbsentError), answering():
        client.delete_registered_model(name)
