"""The command `python -m search.serve`: serves the page of a run, which follows the search while it runs."""

from pathlib import Path
from typing import Annotated

import typer

from search.command_line import Command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def serve(
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    storage: Annotated[str | None, typer.Option(help="Database URL. Default: search.db in the folder.")] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any free one.", min=0, max=65535)] = 8081,
) -> None:
    """Serve the page of a run on this machine; stop it with Ctrl-C. The search may run at the same time."""
    from search.console.serving import serve_until_interrupted
    from search.console.terminal import one_line_errors
    from search.page.server import HOST, server
    from search.storage.find_run import open_results

    with one_line_errors():
        results = open_results(out, storage)
        name = results.run.name
        results.close()
        serving = server(out, storage, port)
    serve_until_interrupted(name, HOST, serving)


if __name__ == "__main__":
    app()
