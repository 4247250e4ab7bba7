"""Asking the W&B server: whether this user may, and what it has."""

import json
import os
from typing import Any

from mllmrec.errors import Refusal
from mllmrec.tracking.patience import within

ANSWERED = 20.0  # seconds in which a server that is there has answered a question
RESUME = """
query RunResumeStatus($project: String, $entity: String, $name: String!) {
    model(name: $project, entityName: $entity) {
        bucket(name: $name, missingOk: true) { name historyLineCount historyTail }
    }
}
"""
KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


def refuse_without_key() -> None:
    """Refuse to begin what needs W&B's server without a key for it.

    Raises:
        Refusal: none is in the environment, and none was kept by ``wandb login``.
    """
    if not (any(map(os.environ.get, KEYS)) or stored_key()):
        raise Refusal(
            f"no key for the W&B server {server()}",
            allowed="the key of an account, as WANDB_API_KEY or kept by wandb login",
            do="type wandb login; another server by WANDB_BASE_URL",
        )


def stored_key() -> str | None:
    """The key that ``wandb login`` keeps for this server."""
    from wandb.sdk.lib import wbauth

    return wbauth.read_netrc_auth(host=server())


def server() -> str:
    """The address of the W&B server that this user works with."""
    import wandb

    return str(wandb.setup(wandb.Settings(silent=True)).settings.base_url)


def ask(query: str, **variables: Any) -> dict[str, Any]:
    """The answer of the server to a GraphQL query.

    Raises:
        ConnectionError: it does not answer in time, or refuses.
    """
    answers: list[dict[str, Any]] = []

    def body() -> None:
        import wandb

        answers.append(wandb.Api()._service_api.execute_graphql(query, variables=variables))

    try:
        within(ANSWERED, body)
    except Exception as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConnectionError(f"no answer from {server()} ({cause})") from error
    return answers[0]


def last_row(entity: str, project: str, id: str) -> float | None:
    """When the last row of a run's history was logged that the server has; None: it has none.

    Raises:
        ConnectionError: the server does not answer in time, or refuses.
    """
    asked = {"entity": entity or None, "project": project, "name": id}
    model = ask(RESUME, **asked).get("model") or {}
    tail = json.loads((model.get("bucket") or {}).get("historyTail") or "[]")
    return float(json.loads(tail[-1])["_timestamp"]) if tail else None


def default_entity() -> str:
    """The user or team that this account's runs go to.

    Raises:
        ConnectionError: the server does not answer in time, or refuses.
    """
    return str(ask("query Viewer { viewer { id entity } }")["viewer"]["entity"])


def app() -> str:
    """The address at which a browser finds what the server holds."""
    import wandb

    return str(wandb.setup(wandb.Settings(silent=True)).settings.app_url).rstrip("/")
