"""Authenticate a request to MLflow, and let an account without a role only read.

MLflow's basic-auth app lets every account create experiments and registered models, and own them afterwards. An account
that may only read could so make the production model of a recipe that has none yet. `authorization_function` of the
app's configuration names `authenticate`, and MLflow calls it before it looks at rights.
"""

import re

from flask import Response, g, jsonify, make_response, request

READING = frozenset({"GET", "HEAD", "OPTIONS"})
SEARCHES = re.compile(
    r"/(?:ajax-)?api/[23]\.0/mlflow/(?:"
    r"(?:experiments|runs|logged-models|traces|datasets|issues)/search|experiments/search-datasets"
    r"|registered-models/get-latest-versions|traces/metrics)|/graphql"
)
"""Paths that are asked by POST and only read. MLflow's GraphQL has no call that changes anything."""
KEPT = "stillhouse_login"
"""Name under which the answer is kept for one request. MLflow asks several times, and a password check is slow."""


def authenticate() -> object:
    """Check name and password of the current request, and the right to change anything.

    Returns:
        The login of the request, or the answer 401 or 403.
    """
    if KEPT not in g:
        setattr(g, KEPT, _authenticate())
    return getattr(g, KEPT)


def _authenticate() -> object:
    from mlflow.server.auth import authenticate_request_basic_auth

    found: object = authenticate_request_basic_auth()
    name = str(request.authorization.username) if request.authorization else ""
    if isinstance(found, Response) or _reads() or _may_write(name):
        return found
    message = f"the account {name!r} may only read"
    return make_response(jsonify(error_code="PERMISSION_DENIED", message=message), 403)


def _reads() -> bool:
    return request.method in READING or (request.method == "POST" and SEARCHES.fullmatch(request.path) is not None)


def _may_write(username: str) -> bool:
    from mlflow.server.auth import store

    user = store.get_user(username)
    return bool(user.is_admin or store.list_user_roles(user.id))
