"""Uploads an exported folder to the Hugging Face Hub. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workers.export.route import ExportError

T = TypeVar("T")
COMMIT = "Export by skipsearch"
"""Message of the commit."""


def check_repository(repository: str, force: bool) -> None:
    """Check, before the export, that a repository of the hub can be written to.

    Args:
        repository: OWNER/NAME.
        force: True to allow an existing repository, to which a commit is added.

    Raises:
        ExportError: the name is invalid, no user is logged in, the hub can't be reached, or the repository exists and
            `force` is False.
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
    user = _called(repository, api.whoami)["name"]
    if _called(repository, lambda: api.repo_exists(repository)) and not force:
        raise ExportError(
            f"--push-to-hub must be a new repository, got {repository}, which is there already ({user} is logged in): "
            "--force adds a commit to it"
        )


def push(folder: Path, repository: str, private: bool) -> str:
    """Upload the folder as one commit and return its URL; a missing repository is created.

    Args:
        folder: the exported folder, which is not changed.
        repository: OWNER/NAME.
        private: True to create a private repository.

    Raises:
        ExportError: the upload fails; the message gives the command to repeat it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()

    def upload() -> str:
        api.create_repo(repository, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message=COMMIT).commit_url)

    return _called(repository, upload, f"; the export is complete in {folder}: hf upload {repository} {folder}")


def _called(repository: str, call: Callable[[], T], way_out: str = ": check name, network and `hf auth login`") -> T:
    """Return the result of a request to the hub; raise ExportError, in one line, for any error of its client."""
    try:
        return call()
    except Exception as error:
        raise ExportError(
            f"--push-to-hub must reach {repository} on the hub, got {type(error).__name__} "
            f"({_first_line(error)}){way_out}"
        ) from error


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")[:200]
