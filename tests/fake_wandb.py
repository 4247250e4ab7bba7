"""A stand-in for a W&B server, on loopback and in memory, for the real client.

It answers the few GraphQL operations of one client version that runs, their artifacts, sweeps with
their agents, and views (workspaces, reports) need, and lists those it does not know, so that a new
wandb shows as a failed test. It can also be made to refuse, to fail or to be silent.
"""

import base64
import gzip
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

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


@dataclass
class Sweep:
    """A sweep: ``left`` are the points that no agent has been given, ``runs`` those given out."""

    name: str
    project: str
    text: str
    left: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    state: str = "RUNNING"

    @property
    def config(self) -> dict[str, Any]:
        return yaml.safe_load(self.text)

    def points(self) -> list[dict[str, Any]]:
        """The grid of a sweep, in the order of its file, its last parameter fastest."""
        told = {name: values_of(one) for name, one in self.config["parameters"].items()}
        return [dict(zip(told, point, strict=True)) for point in itertools.product(*told.values())]


def values_of(parameter: dict[str, Any]) -> list[Any]:
    """What a parameter can be; of a range (random, bayes) the one value in its middle."""
    if "min" in parameter:
        return [(parameter["min"] + parameter["max"]) / 2]
    return parameter["values"] if "values" in parameter else [parameter["value"]]


class Server:
    """What the server has seen: runs by id, artifacts, links of use, unknown operations.

    ``status`` is answered to everything where it is not 200; ``silent`` holds every answer back
    while it is set.
    """

    def __init__(self) -> None:
        self.status = 200
        self.silent = threading.Event()
        self.asked: list[str] = []
        self.files: dict[str, bytes] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.agents: dict[str, str] = {}
        self.views: dict[str, dict[str, Any]] = {}
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
        self.asked.append(operation)
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

    def on_HistoryPage(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Rows from one step to before another, at most so many."""
        lines = self.runs[asked["run"]].lines["history"]
        steps = range(asked["minStep"], asked["maxStep"])
        found = [line for line in lines if json.loads(line)["_step"] in steps]
        return {"project": {"run": {"history": found[: asked["pageSize"]]}}}

    def on_UpsertBucket(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked.get("name") or base64.b64decode(asked["id"]).decode().removeprefix("run:")
        known = name in self.runs
        run = self.runs.setdefault(name, Run(name, asked.get("project") or ""))
        run.config = json.loads(asked["config"]) if asked.get("config") else run.config
        run.fields |= {k: v for k, v in asked.items() if v is not None}
        return {"upsertBucket": {"bucket": run.node(), "inserted": not known}}

    def on_CreateRunFiles(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/store/{asked['run']}/{name}"}
            for name in asked["files"]
        ]
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

    def on_UpsertSweep(self, asked: dict[str, Any]) -> dict[str, Any]:
        project = asked.get("projectName") or "uncategorized"
        if asked.get("id"):
            sweep = self.sweeps[base64.b64decode(asked["id"]).decode()]
            sweep.state = asked.get("state") or sweep.state
        else:
            sweep = Sweep(f"sweep{len(self.sweeps)}", project, asked["config"])
            sweep.left = sweep.points()
            self.sweeps[sweep.name] = sweep
        entity = {"id": key("e"), "name": "us"}
        told = {"name": sweep.name, "project": {"id": key("p"), "name": project, "entity": entity}}
        return {"upsertSweep": {"sweep": told, "configValidationWarnings": []}}

    def on_CreateAgent(self, asked: dict[str, Any]) -> dict[str, Any]:
        agent = f"agent{len(self.agents)}"
        self.agents[agent] = asked["sweep"].split("/")[-1]
        return {"createAgent": {"agent": {"id": agent}}}

    def on_Heartbeat(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A free agent is given the next point, or told to go when there is none."""
        sweep, busy = self.sweeps[self.agents[asked["id"]]], json.loads(asked["runState"] or "{}")
        commands: list[dict[str, Any]] = []
        if not any(busy.values()) and sweep.left:
            run, point = f"{sweep.name}run{len(sweep.runs)}", sweep.left.pop(0)
            sweep.runs[run] = point
            given = {name: {"value": value} for name, value in point.items()}
            about = {"program": sweep.config.get("program"), "run_storage_id": run, "logs": []}
            commands = [{"type": "run", "run_id": run, "args": given, **about}]
        elif not any(busy.values()):
            commands, sweep.state = [{"type": "exit"}], "FINISHED"
        told = {"agent": {"id": asked["id"]}, "commands": json.dumps(commands)}
        return {"agentHeartbeat": told}

    def on_SweepWithRuns(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = (asked.get("sweep") or asked.get("name") or "").split("/")[-1]
        if name not in self.sweeps:
            return {"project": None}
        sweep = self.sweeps[name]
        told = {"id": key(name), "name": name, "method": sweep.config["method"]}
        told |= {"state": sweep.state, "config": sweep.text, "createdAt": "2026-01-01T00:00:00Z"}
        told |= {"__typename": "Sweep", "displayName": None, "runCount": len(sweep.runs)}
        nothing = ("description", "heartbeatAt", "updatedAt", "bestLoss", "controller", "scheduler")
        told |= {**dict.fromkeys((*nothing, "runCountExpected")), "earlyStopJobRunning": False}
        nodes = [{"node": self.of_sweep(run)} for run in sweep.runs]
        return {"project": {"sweep": {**told, "runs": {"edges": nodes}}}}

    on_GetSweep = on_GetSweepState = on_GetSweepLegacy = on_SweepWithRuns

    def of_sweep(self, name: str) -> dict[str, Any]:
        run = self.runs.get(name, Run(name, ""))
        state = "running" if run.exit_code is None else "failed" if run.exit_code else "finished"
        flags = {"shouldStop": False, "failed": False, "stopped": False, "running": False}
        told = {"config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary)}
        more = {"exitcode": run.exit_code, "heartbeatAt": None, "sampledHistory": [[]]}
        return {"name": name, "state": state, **flags, **told, **more}

    def on_UpsertView2(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Workspaces and reports are both views."""
        known = asked.get("id") in self.views
        id = asked["id"] if known else key(f"View:{len(self.views)}")
        self.views[id] = {**self.views.get(id, {}), **asked, "id": id}
        return {"upsertView": {"view": self.view_node(id), "inserted": not known}}

    on_upsertView = on_UpsertView2

    def view_node(self, id: str) -> dict[str, Any]:
        view = self.views[id]
        names = ("id", "type", "name", "displayName", "description", "spec")
        project = {"id": key("p"), "name": view.get("projectName"), "entityName": "us"}
        dates = dict.fromkeys(("createdAt", "updatedAt"), "2026-01-01T00:00:00Z")
        return {**{name: view.get(name) for name in names}, "project": project, **dates}

    def on_View(self, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("viewName")
        found = [id for id, view in self.views.items() if view.get("name") == wanted]
        return {"project": {"allViews": {"edges": [{"node": self.view_node(i)} for i in found]}}}

    def on_SpecificReport(self, asked: dict[str, Any]) -> dict[str, Any]:
        id = asked["reportId"]
        return {"view": self.view_node(id) if id in self.views else None}

    def on_ProjectInternalId(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": key("p"), "internalId": key("ProjectInternalId:1")}}


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
            while state.silent.is_set():
                time.sleep(0.05)
            if state.status != 200:
                return self.send(state.status, {"errors": [{"message": "so it was asked"}]})
            with state.lock:
                if parts[-1] == "graphql":
                    asked = json.loads(body)
                    name = asked.get("operationName") or asked["query"].split("(")[0].split()[1]
                    answer = {"data": state.answer(name, asked.get("variables") or {})}
                elif parts[-1] == "file_stream":
                    state.stream(parts[-2], json.loads(body))
                elif parts[0] == "store":
                    state.files["/".join(parts[1:])] = body
            self.send(200, answer)

        def send(self, status: int, answer: dict[str, Any]) -> None:
            text = json.dumps(answer).encode()
            self.send_response(status)
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
        state.silent.clear()
        server.shutdown()
        server.server_close()
