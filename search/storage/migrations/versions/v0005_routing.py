"""Adds the table of routers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table of routers, empty: earlier versions stored them in the folder of the run only."""
    op.create_table(
        "routing",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.Integer, sa.ForeignKey("run.id"), nullable=False, unique=True),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("decisions", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
    )
