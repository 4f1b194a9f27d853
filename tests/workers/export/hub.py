"""A stand-in for the Hugging Face Hub: the parts of its HTTP API that an upload and a download use, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = hashlib.sha1(b"the only commit").hexdigest()


@dataclass
class Hub:
    """What it holds, and how it behaves."""

    token: str = "hf_of_the_test"
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    refuses_commits: bool = False
    url: str = ""

    @contextmanager
    def serving(self) -> Iterator[Hub]:
        """Answers on a free port of this machine inside the `with`."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(10)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._read()
        if self.path == "/api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
            self._say(200, {"name": "tester", "type": "user"}) if known else self._say(401, {"error": "Invalid token"})
        elif (repository := self.path.removeprefix("/api/models/")) in self.hub.repositories:
            self._say(200, {"id": repository, "siblings": [], "private": self.hub.private[repository]})
        elif found := re.fullmatch(r"/(\w+/[\w-]+)/resolve/\w+/(.+)", self.path):
            self._file(self.hub.repositories.get(found[1], {}).get(found[2]))
        else:
            self._say(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self._read()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            known = name in self.hub.repositories
            self.hub.repositories.setdefault(name, {})
            self.hub.private.setdefault(name, bool(asked.get("private") or asked.get("visibility") == "private"))
            self._say(409 if known else 200, {"url": f"{self.hub.url}/{name}", "name": name})
        elif self.path == "/api/validate-yaml":
            self._say(200, {"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = [{"path": f["path"], "uploadMode": _mode(f["path"])} for f in json.loads(body)["files"]]
            self._say(200, {"files": [{**each, "shouldIgnore": False} for each in files]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.hub.url}/blobs/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self._say(200, {"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self._commit(found[1], body)
        else:
            self._say(404, {"error": self.path})

    def do_PUT(self) -> None:
        content = self._read()
        oid = self.path.removeprefix("/blobs/")
        if hashlib.sha256(content).hexdigest() != oid:
            return self._say(400, {"error": "the content is not what its hash says"})
        self.hub.blobs[oid] = content
        self._say(200, {})

    def _commit(self, repository: str, body: bytes) -> None:
        if self.hub.refuses_commits:
            return self._say(403, {"error": "You have read access only"})
        files = self.hub.repositories[repository]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
        self._say(200, {"commitUrl": f"{self.hub.url}/{repository}/commit/{COMMIT}", "commitOid": COMMIT})

    def _file(self, content: bytes | None) -> None:
        if content is None:
            return self._say(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        self._answer(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _say(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _mode(path: str) -> str:
    """Weights go the way of large files."""
    return "lfs" if path.endswith(".safetensors") else "regular"
