"""The first tables, of releases that stored no version."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: databases without a version have these tables."""
