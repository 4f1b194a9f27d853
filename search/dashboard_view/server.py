"""A server of Optuna Dashboard that shows one run and changes nothing in it."""

import json
import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO, NoReturn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import RDBStorage
from optuna_dashboard import wsgi

from search.dashboard_view.shown_run import FollowedRun
from search.dashboard_view.shown_study import ShownStudy
from search.page.plan_strip import plan_svg
from search.storage.database_url import engine_options, url_text
from search.storage.find_run import open_results


class PlanPictures:
    """An artifact store of Optuna that renders the plan whose digest is opened."""

    def __init__(self, run: FollowedRun) -> None:
        self._run = run

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Return the picture of the plan with a digest, an SVG file.

        Raises:
            ArtifactNotFound: the run has no such plan.
        """
        if (plan := self._run.plan(artifact_id)) is None:
            raise ArtifactNotFound(f"the run has no plan with the digest {artifact_id}")
        return BytesIO(plan_svg(plan).encode())

    def _refuse(self, *_: Any) -> NoReturn:
        raise PermissionError("pictures of plans are drawn when they are read; none can be stored or removed")

    write = remove = _refuse


class _Server(ThreadingMixIn, WSGIServer):
    """One thread per request: browsers open connections in advance, which would block a single one."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing per request."""


def server(out: Path, storage: str | None, host: str, port: int) -> WSGIServer:
    """Return a server of Optuna Dashboard for a run.

    Args:
        out: folder of the run.
        storage: database URL, where it is not in the folder.
        host: address to listen on.
        port: number of the port; 0 for any free one.

    Raises:
        StorageError: the folder has no run.
        ValueError: host or port can't be used.
    """
    results = open_results(out, storage)
    url = url_text(results.engine.url)
    results.close()
    run = FollowedRun(out, storage)
    # The parameter `plan` has one choice per trial; Optuna gives it the importance 0, with a warning per request.
    warnings.filterwarnings("ignore", message="Some regimes for parameter `plan`")
    study = ShownStudy(RDBStorage(url, engine_kwargs=engine_options(url)), run)
    app = _read_only(wsgi(study, artifact_store=PlanPictures(run)))
    try:
        return make_server(host, port, app, server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        raise ValueError(
            f"--host and --port must be free to listen on, got {host}:{port} ({error.strerror}): take others"
        ) from None


def _read_only(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return an application that answers requests to read, and refuses all others with a reason."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        body = json.dumps({"reason": "The dashboard of a run is read-only: only the search writes to it."}).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Allow", "GET, HEAD")]
        start_response("405 Method Not Allowed", headers)
        return [body]

    return answer
