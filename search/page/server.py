"""Serves the page of a run on the loopback interface, with the parts that changed since a version on request."""

import json
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sqlalchemy.exc import SQLAlchemyError

from search.page.follow import Followed
from search.page.render import Rendered, render
from search.storage.database_url import StorageError

HOST = "127.0.0.1"


LivePage = Followed[Rendered]


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
        serving = ThreadingHTTPServer((HOST, port), partial(_Handler, LivePage(out, storage, render)))
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
