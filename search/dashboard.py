"""The command `python -m search.dashboard`: serves Optuna Dashboard for a run."""

from pathlib import Path
from typing import Annotated

import typer

from search.command_line import Command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def dashboard(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8080,
) -> None:
    """Serve Optuna Dashboard; stop it with Ctrl-C. The search may run at the same time."""
    from search.console.serving import serve_until_interrupted
    from search.console.terminal import one_line_errors
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        name = results.run.name
        results.close()
        from search.dashboard_view.server import server  # slow to import

        serving = server(out, storage, host, port)
    serve_until_interrupted(name, host, serving)


if __name__ == "__main__":
    app()
