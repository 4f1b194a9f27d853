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
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Serve Optuna Dashboard; stop it with Ctrl-C. The search may run at the same time."""
    from search.console.terminal import one_line_errors
    from search.storage.database_url import url_text
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        url = url_text(results.engine.url)
        print(f"{results.run.name}: http://{host}:{port}/", flush=True)
        results.close()
    from optuna.storages import RDBStorage
    from optuna_dashboard import run_server

    from search.storage.database_url import engine_options

    run_server(RDBStorage(url, engine_kwargs=engine_options(url)), host=host, port=port)


if __name__ == "__main__":
    app()
