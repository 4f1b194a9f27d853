"""Pushes an exported folder to the Hugging Face Hub. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.export.route import ExportError

COMMIT = "Export by skipsearch"


def check_repository(repository: str, force: bool) -> None:
    """Asks the hub whether `repository` can be written to: before an export that would have nowhere to go.

    Raises ExportError (one line) for a name that is none, nobody logged in, a hub that can't be reached, or a
    repository that exists, unless `force` may add a commit to it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        if "/" not in repository:
            raise ValueError("the owner is missing")
    except ValueError as error:
        raise ExportError(
            f"--push-to-hub must be OWNER/NAME, got {repository!r} ({_first_line(error)}): name it like me/my-model"
        ) from None
    api = HfApi()
    user = _asked(repository, api.whoami)["name"]
    if _asked(repository, lambda: api.repo_exists(repository)) and not force:
        raise ExportError(
            f"--push-to-hub must be a new repository, got {repository}, which is there already ({user} is logged in): "
            "--force adds a commit to it"
        )


def push(folder: Path, repository: str, private: bool) -> str:
    """Uploads the folder as one commit and returns its URL; the repository is made where it is missing.

    Raises ExportError where the hub refuses; the folder stays as it is, and says how to go on by hand.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()

    def upload() -> str:
        api.create_repo(repository, private=private, exist_ok=True)
        return api.upload_folder(repo_id=repository, folder_path=folder, commit_message=COMMIT).commit_url

    return _asked(repository, upload, f"; the export is complete in {folder}: hf upload {repository} {folder}")


def _asked(repository: str, ask: Any, way_out: str = ": check name, network and `hf auth login`") -> Any:
    """What the hub answers; its client has no common base for the many ways in which that fails."""
    try:
        return ask()
    except Exception as error:
        raise ExportError(
            f"--push-to-hub must reach {repository} on the hub, got {type(error).__name__} "
            f"({_first_line(error)}){way_out}"
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")[:200]
