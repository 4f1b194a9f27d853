"""Serves pages until Ctrl-C, for the commands that do."""

import signal
from contextlib import AbstractContextManager
from typing import Protocol


class Server(AbstractContextManager["Server"], Protocol):
    """A server of the standard library, or one made from it."""

    server_port: int

    def serve_forever(self) -> None:
        """Serve until an exception ends it."""


def serve_until_interrupted(name: str, host: str, server: Server) -> None:
    """Print where a run is shown, and serve until Ctrl-C.

    Args:
        name: name of the run.
        host: address that the server listens on.
        server: the server, listening.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background commands without it
    with server:
        print(f"{name}: http://{host}:{server.server_port}/ (stop with Ctrl-C)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nStopped serving; a search goes on by itself.")
