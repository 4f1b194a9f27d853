"""The tables of the versions that kept no version: nothing to do."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: databases without a version are of this one."""
