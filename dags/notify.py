"""Send one message for each event that people should know, with its reason, to the log and to the set-up connections.

Two Airflow connections set the receivers. `stillhouse_webhook` takes `{"text": ...}` as Slack does. Messages go to its
host; if the address has a secret part, that part is the password and is appended. `stillhouse_mail` is an SMTP
connection, whose extra names `to`. If a message cannot be sent, the log has a warning, and the task does not fail. This
module builds no workflow.
"""

import html
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, cast

from airflow.sdk import BaseNotifier, Connection, Context
from airflow.sdk.exceptions import AirflowNotFoundException

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator

Event = Literal[
    "refused",
    "awaiting approval",
    "promoted",
    "not promoted",
    "rolled back",
    "pipeline broken",
    "late",
    "new data",
    "data quarantined",
    "ingestion stopped",
    "ingestion goes on",
]
SECONDS = 10
log = logging.getLogger(__name__)


def tell(event: Event, what: str, sentence: str) -> None:
    """Send one message.

    Args:
        event: the kind of event.
        what: name of the recipe or dataset.
        sentence: the reason or the result.
    """
    text = f"[{event}] {what}: {sentence}"
    log.info(text)
    for name, send in CHANNELS.items():
        try:
            send(Connection.get(name), text)
        except AirflowNotFoundException:
            continue  # this connection is not set up
        except Exception as error:  # noqa: BLE001 - whatever a server or an address does to us
            log.warning("no message was sent to %s (%s); mend that connection in Airflow", name, type(error).__name__)


def late(recipe: str, hours: float, **_context: object) -> None:
    """Say that a night has not ended in time. It goes on.

    Args:
        recipe: name of the recipe.
        hours: hours after which a night is late.
    """
    tell("late", recipe, f"the night has not ended after {hours:g} hours; look at its running stage in Airflow")


class Awaiting(BaseNotifier):
    """Notifies people that an approval waits for an answer."""

    def notify(self, context: Context) -> None:
        """Name the question and the page on which it is answered."""
        task = cast("HITLOperator", context["task"])
        recipe = context["dag_run"].dag_id.removeprefix("promotion_")
        tell("awaiting approval", recipe, f"{task.subject} {task.generate_link_to_ui(task_instance=context['ti'])}")


def _post(connection: Connection, text: str) -> None:
    import requests

    scheme = "" if "://" in (connection.host or "") else f"{connection.schema or 'https'}://"
    port = f":{connection.port}" if connection.port else ""
    address = f"{scheme}{connection.host}{port}{connection.password or ''}"
    requests.post(address, json={"text": text}, timeout=SECONDS).raise_for_status()


def _mail(connection: Connection, text: str) -> None:
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    with SmtpHook(smtp_conn_id=connection.conn_id) as hook:
        hook.send_email_smtp(to=connection.extra_dejson["to"], subject=text[:120], html_content=html.escape(text))


CHANNELS: dict[str, Callable[[Connection, str], None]] = {"stillhouse_webhook": _post, "stillhouse_mail": _mail}
