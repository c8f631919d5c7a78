"""Accounts of MLflow's basic-auth app, and the roles that give them rights.

The role `pipeline` may write everything. The role `promoter` may write the production models of the recipes and the
audit. An account without a role may only read. The accounts and roles are written into the app's own database, before
the server starts, so that no password of the administrator travels.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.recipe.folders import recipe_files
from stillhouse.tasks.registry.audit import ABOUT, EXPERIMENT
from stillhouse.tasks.registry.versions import production_of
from stillhouse.tasks.tracking.tags import NOTE

ADMIN, PIPELINE, PROMOTER, READER = "admin", "pipeline", "promoter", "reader"
ACCOUNTS = (ADMIN, PIPELINE, PROMOTER, READER)
ROLES = (PIPELINE, PROMOTER)
WORKSPACE = "default"
"""MLflow keeps all roles there while its workspaces are off."""
SHORTEST = 12
"""Characters of the shortest password that MLflow accepts."""
CACHE_SECONDS = 60
"""Time for which the server remembers a correct password instead of computing its hash again."""
Grant = tuple[str, str, str]
"""Kind of resource, its name or `*`, permission."""


def write_config(path: Path, database: str) -> None:
    """Write the configuration of the basic-auth app, which `MLFLOW_AUTH_CONFIG_PATH` names.

    Args:
        path: the file. It holds the password of the database.
        database: address of the accounts' database.
    """
    lines = {
        "default_permission": "READ",
        "database_uri": database.replace("%", "%%"),
        "admin_username": ADMIN,
        "authorization_function": "stillhouse.tasks.access.read_only:authenticate",
        "auth_cache_ttl_seconds": CACHE_SECONDS,
    }
    path.touch(mode=0o600)
    path.write_text("\n".join(["[mlflow]", *(f"{name} = {value}" for name, value in lines.items())]) + "\n", "utf-8")


def prepare_accounts(database: str, tracking: str, recipes: Path, passwords: Mapping[str, str]) -> None:
    """Make the accounts of the stack and the roles. A second time only changed passwords and new recipes are written.

    Args:
        database: address of the accounts' database.
        tracking: address of MLflow's own database.
        recipes: folder of the recipes that the project ships.
        passwords: account -> password, for `admin`, `pipeline`, `promoter` and `reader`.

    Raises:
        StillhouseError: a password is too short.
    """
    for name, password in passwords.items():
        _expect_long(name, password)
    store = open_accounts(database)
    models = [production_of(path.stem) for path in recipe_files(recipes)]
    rights: dict[str, list[Grant]] = {
        PIPELINE: [("experiment", "*", "MANAGE"), ("registered_model", "*", "MANAGE")],
        PROMOTER: [
            ("experiment", _audit_experiment(tracking), "EDIT"),
            *(("registered_model", model, "EDIT") for model in models),
        ],
    }
    for role, grants in rights.items():
        _grant(store, role, grants)
    for name, password in passwords.items():
        write_account(store, name, password, name if name in ROLES else None)


def open_accounts(database: str) -> Any:  # noqa: ANN401 - MLflow's store of accounts, which needs Flask-WTF to import
    """Open the database of the accounts, and migrate it."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database)
    return store


def write_account(store: Any, name: str, password: str, role: str | None) -> None:  # noqa: ANN401 - as above
    """Make an account, or give it another password. A role is added to those that the account has.

    Raises:
        StillhouseError: the password is too short, or there is no such role.
    """
    _expect_long(name, password)
    if role not in {None, *ROLES}:
        msg = f"MLflow has no role {role!r}; use one of {', '.join(ROLES)}, or none for an account that may only read"
        raise StillhouseError(msg)
    if not store.has_user(name):
        store.create_user(name, password, is_admin=name == ADMIN)
    elif not store.authenticate_user(name, password):
        store.update_user(name, password=password)
    user = store.get_user(name)
    if role and role not in {each.name for each in store.list_user_roles(user.id)}:
        store.assign_role_to_user(user.id, store.get_role_by_name(WORKSPACE, role).id)


def _expect_long(name: str, password: str) -> None:
    if len(password) < SHORTEST:
        msg = f"the password of MLflow's account {name} has fewer than {SHORTEST} characters; write a longer one"
        raise StillhouseError(msg)


def _grant(store: Any, role: str, grants: Iterable[Grant]) -> None:  # noqa: ANN401 - as above
    known = {each.name: each for each in store.list_roles([WORKSPACE])}
    found = known.get(role) or store.create_role(role, WORKSPACE)
    there = {(each.resource_type, each.resource_pattern) for each in store.list_role_permissions(found.id)}
    for kind, pattern, permission in grants:
        if (kind, pattern) not in there:
            store.add_role_permission(found.id, kind, pattern, permission)


def _audit_experiment(tracking: str) -> str:
    """Return the id of the audit's experiment, of which a role needs to know the id. Makes it as a server does."""
    from mlflow.entities import ExperimentTag
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(tracking, "mlflow-artifacts:/")
    found = store.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    return str(store.create_experiment(EXPERIMENT, tags=[ExperimentTag(NOTE, ABOUT)]))
