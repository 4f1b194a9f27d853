"""Serves the page of a run on the loopback interface, with the parts that changed since a version on request."""

import json
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from search.page.render import Rendered, render
from search.page.run_facts import RunFacts, options_of
from search.storage.database_url import StorageError
from search.storage.find_run import open_results
from search.storage.results import Results
from search.storage.tables import RungResult, Trial

HOST = "127.0.0.1"


@dataclass
class LivePage:
    """The page of a run, rendered anew when the run has changed."""

    out: Path
    storage: str | None

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._version = ""
        self._rendered: Rendered | None = None

    def now(self) -> tuple[str, Rendered]:
        """Return a version of the page and the page; the version changes with the run.

        Raises:
            StorageError: the run can't be read.
        """
        with self._lock:
            results = open_results(self.out, self.storage)
            try:
                version = version_of(results)
                if self._rendered is None or version != self._version:
                    self._rendered = render(RunFacts(results, options_of(self.out, self.storage)))
                    self._version = version
            finally:
                results.close()
            return self._version, self._rendered


def version_of(results: Results) -> str:
    """Return a text that changes whenever a rung is measured or a trial begins or ends."""
    counts = "-".join(f"{state}{count}" for state, count in sorted(results.counts().items()))
    latest = select(func.max(RungResult.id), func.count(RungResult.id)).join(Trial, Trial.id == RungResult.trial_id)
    with results.engine.connect() as connection:
        newest, rungs = connection.execute(latest.where(Trial.run_id == results.run.id)).one()
    return f"{counts}.{newest}.{rungs}.{results.run.finished is not None:d}"


def server(out: Path, storage: str | None, port: int) -> ThreadingHTTPServer:
    """Return a server of the page of a run, listening on the loopback interface.

    Args:
        out: folder of the run.
        storage: database URL, where it is not in the folder.
        port: number of the port; 0 for any free one.

    Raises:
        ValueError: the port can't be used.
    """
    try:
        serving = ThreadingHTTPServer((HOST, port), partial(_Handler, LivePage(out, storage)))
    except OSError as error:
        raise ValueError(f"--port must be free to listen on, got {port} ({error.strerror}): take another") from None
    serving.daemon_threads = True
    return serving


class _Handler(BaseHTTPRequestHandler):
    """Answers `/` with the page and `/state.json?since=VERSION` with what is newer than a version."""

    def __init__(self, live: LivePage, *args: Any) -> None:
        self._live = live
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answer a request. Any other address is unknown."""
        if self.headers.get("Host", "").partition(":")[0] not in (HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)  # another site that has rebound its name to this machine
            return
        address = urlsplit(self.path)
        try:
            if address.path == "/":
                version, page = self._live.now()
                self._send(page.page(live=version), "text/html")
            elif address.path == "/state.json":
                self._send_news(parse_qs(address.query).get("since", [""])[0])
            else:
                self.send_error(HTTPStatus.NOT_FOUND)
        except (StorageError, SQLAlchemyError) as error:
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "the run can't be read", str(error).splitlines()[0])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the browser has gone

    def _send_news(self, since: str) -> None:
        version, page = self._live.now()
        if version == since:
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
            return
        news = {"version": version, "state": page.state, "sections": page.bodies(), "charts": page.charts}
        self._send(json.dumps(news), "application/json")

    def _send(self, text: str, kind: str) -> None:
        body = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing per request."""
