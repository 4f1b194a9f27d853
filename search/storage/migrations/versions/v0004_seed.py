"""Adds a column for the seed of tuning, which the column `rung` held for tests; renames the state `pruned`."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
NAMES = {"uq": "uq_%(table_name)s_%(column_0_name)s"}
KEYS = {"rung_result": ["trial_id", "rung", "split", "seed"], "answers": ["trial_id", "split", "seed"]}


def upgrade() -> None:
    """Rename the state `pruned` to `stopped`, and fill the seed of rungs and answers.

    On the search split it is that of the run; on the test split, that of the run plus the former rung.
    """
    op.execute("UPDATE trial SET state = 'stopped' WHERE state = 'pruned'")
    seeds = _seeds()
    for name, columns in KEYS.items():
        old = [key for key in sa.inspect(op.get_bind()).get_unique_constraints(name)]
        with op.batch_alter_table(name, naming_convention=NAMES) as batch:
            batch.add_column(sa.Column("seed", sa.BigInteger))
            for key in old:
                batch.drop_constraint(key["name"] or f"uq_{name}_{key['column_names'][0]}", type_="unique")
        table = sa.table(name, *(sa.column(column) for column in ("id", "trial_id", "rung", "split", "seed")))
        for row in op.get_bind().execute(sa.select(table)).mappings().all():
            seed = seeds[row["trial_id"]]
            values = {"seed": seed + row["rung"], "rung": 0} if row["split"] == "test" else {"seed": seed}
            op.execute(sa.update(table).where(table.c.id == row["id"]).values(**values))
        with op.batch_alter_table(name) as batch:
            batch.alter_column("seed", nullable=False, existing_type=sa.BigInteger)
            batch.create_unique_constraint(f"{name}_key", columns)


def _seeds() -> dict[int, int]:
    """Return row id of a trial -> seed of its run."""
    query = sa.text("SELECT trial.id, run.settings FROM trial JOIN run ON trial.run_id = run.id")
    rows = op.get_bind().execute(query).all()
    return {row: (json.loads(settings) if isinstance(settings, str) else settings)["seed"] for row, settings in rows}
