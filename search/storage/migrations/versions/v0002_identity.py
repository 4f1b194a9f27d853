"""Adds the id of a run, the name of its study, and the table of leases."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add an id and the name of the study to each run, which was the name of its folder; create the lease table."""
    names = sa.inspect(op.get_bind()).get_unique_constraints("run")
    with op.batch_alter_table("run", naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s"}) as batch:
        batch.add_column(sa.Column("uid", sa.String(32)))
        batch.add_column(sa.Column("study", sa.String(255)))
        for constraint in names:
            if constraint["column_names"] == ["name"]:
                batch.drop_constraint(constraint["name"] or "uq_run_name", type_="unique")
    run = sa.table("run", *(sa.column(name) for name in ("id", "uid", "name", "study")))
    for row_id, name in op.get_bind().execute(sa.select(run.c.id, run.c.name)).all():
        op.execute(sa.update(run).where(run.c.id == row_id).values(uid=uuid4().hex, study=name))
    with op.batch_alter_table("run") as batch:
        batch.alter_column("uid", nullable=False, existing_type=sa.String(32))
        batch.alter_column("study", nullable=False, existing_type=sa.String(255))
        batch.create_unique_constraint("run_uid_key", ["uid"])
    op.create_table(
        "lease",
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner", sa.JSON),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
