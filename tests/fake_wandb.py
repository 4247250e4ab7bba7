"""A stand-in for a W&B server, on loopback and in memory, for the real client.

It answers the few GraphQL operations of one client version that a run and its artifacts need, and
lists those it does not know, so that a new wandb shows as a failed test.
"""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STREAMS = {"wandb-history.jsonl": "history", "wandb-events.jsonl": "events", "output.log": "logs"}


def key(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass
class Run:
    name: str
    project: str
    fields: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: {n: [] for n in STREAMS.values()})
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines["history"]]

    def node(self) -> dict[str, Any]:
        project = {"id": key("p"), "name": self.project, "entity": {"id": key("e"), "name": "us"}}
        counts = {f"{'log' if n == 'logs' else n}LineCount": len(v) for n, v in self.lines.items()}
        tails = {f"{n}Tail": json.dumps(self.lines[n][-1:]) for n in ("history", "events")}
        return {
            "id": key(f"run:{self.name}"),
            "name": self.name,
            "displayName": self.fields.get("displayName"),
            "config": json.dumps(self.config),
            "summaryMetrics": json.dumps(self.summary),
            "wandbConfig": json.dumps({"t": 1}),
            "tags": self.fields.get("tags") or [],
            "notes": "",
            "sweepName": self.fields.get("sweep"),
            "project": project,
            "eventsLineCount": counts.pop("eventsLineCount", 0),
            **counts,
            **tails,
        }


class Server:
    """What the server has seen: runs by id, artifacts, links of use, unknown operations."""

    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.used: list[tuple[str, str]] = []
        self.unknown: list[str] = []
        self.lock = threading.RLock()
        self.url = ""

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Lines of files as a run sends them, each batch at its offset."""
        run = self.runs[name]
        for file, part in (body.get("files") or {}).items():
            if file == "wandb-summary.json":
                run.summary = json.loads(part["content"][-1])
            elif file in STREAMS:
                run.lines[STREAMS[file]][part["offset"] :] = part["content"]
        if body.get("complete"):
            run.exit_code = body["exitcode"]

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        method = getattr(self, f"on_{operation}", None)
        if method is None:
            self.unknown.append(operation)
            return {}
        return method({**asked, **(asked.get("input") or {})})

    def on_Viewer(self, asked: dict[str, Any]) -> dict[str, Any]:
        me = {"id": key("u"), "entity": "us", "username": "us", "email": "", "flags": "{}"}
        return {"viewer": {**me, "teams": {"edges": []}}, "serverInfo": {"features": []}}

    def on_ServerFeaturesQuery(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def on_OrganizationCoreWeaveOrganizationID(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": None}}

    def on_RunResumeStatus(self, asked: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(asked["name"])
        entity = {"id": key("e"), "name": "us"}
        model = {"id": key("p"), "name": asked["project"], "entity": entity}
        return {"model": {**model, "bucket": run.node() if run else None}}

    def on_UpsertBucket(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked.get("name") or base64.b64decode(asked["id"]).decode().removeprefix("run:")
        known = name in self.runs
        run = self.runs.setdefault(name, Run(name, asked.get("project") or ""))
        run.config = json.loads(asked["config"]) if asked.get("config") else run.config
        run.fields |= {k: v for k, v in asked.items() if v is not None}
        return {"upsertBucket": {"bucket": run.node(), "inserted": not known}}

    def on_CreateRunFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/store/x"} for name in asked["files"]]
        made = {"runID": key(asked["run"]), "uploadHeaders": [], "files": files}
        return {"createRunFiles": made}

    def on_CreateArtifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["artifactCollectionName"]
        self.artifacts[key(name)] = {"name": name, "type": asked["artifactTypeName"]}
        made = {"id": key(name), "state": "PENDING"}
        sequence = {"latestArtifact": {"id": key(name)}}
        return {"createArtifact": {"artifact": {**made, "artifactSequence": sequence}}}

    def on_CreateArtifactManifest(self, asked: dict[str, Any]) -> dict[str, Any]:
        file = {"id": key("m"), "uploadUrl": f"{self.url}/store/m", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": key("m"), "file": file}}}

    def on_CreateArtifactFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        nodes = [
            {"id": key(f["name"]), "name": f["name"], "displayName": f["name"],
             "storagePath": f["name"], "uploadUrl": f"{self.url}/store/f", "uploadHeaders": [],
             "uploadMultipartUrls": None, "artifact": {"id": f["artifactID"]}}
            for f in asked["artifactFiles"]
        ]  # fmt: skip
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def on_CommitArtifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.artifacts[asked["artifactID"]]["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": asked["artifactID"], "digest": "d"}}}

    def on_UseArtifact(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = self.artifacts[asked["artifactID"]]["name"]
        self.used.append((asked["runName"], name))
        return {"useArtifact": {"artifact": {"id": asked["artifactID"]}}}

    def on_ArtifactType(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def on_ArtifactByID(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"artifact": self.artifact_node(asked["id"])}

    def artifact_node(self, id: str) -> dict[str, Any]:
        made = self.artifacts[id]
        entity = {"id": key("e"), "name": "us"}
        project = {"id": key("p"), "internalId": key("i"), "name": "mllmrec", "entity": entity}
        sequence = {"id": key("s"), "name": made["name"], "project": project}
        nothing = ("description", "metadata", "updatedAt", "historyStep")
        return {
            **dict.fromkeys(nothing),
            "__typename": "Artifact",
            "id": id,
            "state": "COMMITTED",
            "digest": "d",
            "versionIndex": 0,
            "size": 0,
            "fileCount": 1,
            "commitHash": "c",
            "createdAt": "2026-01-01T00:00:00Z",
            "ttlDurationSeconds": -1,
            "ttlIsInherited": False,
            "aliases": [],
            "tags": [],
            "artifactType": {"id": key("t"), "name": made["type"]},
            "artifactSequence": {**sequence, "__typename": "ArtifactSequence"},
        }

    def on_RunStoppedStatus(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"stopped": False}}}


def handler(state: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # a client that went away
                super().handle()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            parts = self.path.strip("/").split("/")
            answer: dict[str, Any] = {}
            with state.lock:
                if parts[-1] == "graphql":
                    asked = json.loads(body)
                    name = asked.get("operationName") or asked["query"].split("(")[0].split()[1]
                    answer = {"data": state.answer(name, asked.get("variables") or {})}
                elif parts[-1] == "file_stream":
                    state.stream(parts[-2], json.loads(body))
            text = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port for the length of the block."""
    state = Server()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
