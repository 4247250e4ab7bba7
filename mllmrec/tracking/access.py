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
        entity { name }
        bucket(name: $name, missingOk: true) { name historyLineCount historyTail }
    }
}
"""
# As wandb's own client reads a history: all rows between two steps.
HISTORY = """
query HistoryPage(
    $entity: String!, $project: String!, $run: String!,
    $minStep: Int64!, $maxStep: Int64!, $pageSize: Int!
) {
    project(name: $project, entityName: $entity) {
        run(name: $run) { history(minStep: $minStep, maxStep: $maxStep, samples: $pageSize) }
    }
}
"""
PAGE = 1000
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


def rows_there(entity: str, project: str, id: str) -> frozenset[float]:
    """When the rows of a run's history were logged that the server has, to the microsecond.

    Raises:
        ConnectionError: the server does not answer in time, or refuses.
        OSError: it does not give out all the rows that it says it has.
    """
    model = ask(RESUME, entity=entity or None, project=project, name=id).get("model") or {}
    bucket = model.get("bucket") or {}
    tail, count = json.loads(bucket.get("historyTail") or "[]"), bucket.get("historyLineCount") or 0
    if not tail:
        return frozenset()
    asked = {"entity": model["entity"]["name"], "project": project, "run": id, "pageSize": PAGE}
    found: list[float] = []
    for step in range(0, json.loads(tail[-1])["_step"] + 1, PAGE):
        answer = ask(HISTORY, **asked, minStep=step, maxStep=step + PAGE)
        rows = answer["project"]["run"]["history"]
        found += [round(json.loads(row)["_timestamp"], 6) for row in rows]
    if len(found) < count:  # what is not known to be there would be there twice
        raise OSError(f"the server says it has {count} rows of run {id} and shows {len(found)}")
    return frozenset(found)


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
