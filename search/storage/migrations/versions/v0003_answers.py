"""Adds the table of answers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of answers, empty: earlier versions stored scores only."""
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("trial_id", sa.Integer, sa.ForeignKey("trial.id"), nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        sa.Column("split", sa.String(16), nullable=False),
        sa.Column("answers", sa.LargeBinary, nullable=False),
        sa.Column("asked", sa.LargeBinary),
        sa.UniqueConstraint("trial_id", "rung", "split"),
    )
    op.create_index("ix_answers_trial_id", "answers", ["trial_id"])
