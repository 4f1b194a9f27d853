"""One writer per run: the lease of a controller, and refused writes once another one holds it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from search.storage.database_url import open_engine, sqlite_url, url_text
from search.storage.lease import AlreadyRunningError, Owner, fence, held, holder
from search.storage.schema import bring_up_to_date
from search.storage.tables import Event, Lease, Run, transaction

TERM = 1.0
"""Seconds of a lease in these tests."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(url_text(sqlite_url(tmp_path / "search.db")))
    bring_up_to_date(engine)
    return engine


def set_owner(engine: Engine, owner: Owner, seconds: float) -> None:
    """Write a lease as another process would."""
    values = {"owner": asdict(owner), "expires": time.time() + seconds, "epoch": Lease.epoch + 1}
    with engine.begin() as connection:
        connection.execute(update(Lease).values(**values))


def test_a_lease_is_held_once_and_given_back(engine: Engine) -> None:
    with held(engine, "run", seconds=TERM) as epoch:
        assert holder(engine, "run") == Owner.this()
        with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"), held(engine, "run", seconds=TERM):
            pass
        with held(engine, "another run", seconds=TERM):
            pass
    assert holder(engine, "run") is None
    with held(engine, "run", seconds=TERM) as later:
        assert later > epoch


def test_it_is_renewed_beyond_its_term(engine: Engine) -> None:
    with held(engine, "run", seconds=0.4):
        time.sleep(1.0)
        assert holder(engine, "run") == Owner.this()


def test_that_of_a_process_that_ended_on_this_machine_is_taken_at_once(engine: Engine) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        owner = Owner(Owner.this().host, process.pid, Owner.this().started)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    with held(engine, "run", seconds=TERM):
        pass
    set_owner(engine, owner, seconds=3600)
    begin = time.monotonic()
    with held(engine, "run", seconds=TERM):
        assert time.monotonic() - begin < TERM / 2


def test_that_of_another_machine_is_taken_when_it_expires(engine: Engine) -> None:
    with held(engine, "run", seconds=TERM):
        pass
    set_owner(engine, Owner("elsewhere", 1, 0.0), seconds=TERM)
    told: list[str] = []
    with held(engine, "run", told.append, seconds=TERM):
        assert len(told) == 1 and "process 1 on elsewhere" in told[0]


def test_that_of_another_machine_that_renews_it_is_left_alone(engine: Engine) -> None:
    with held(engine, "run", seconds=TERM):
        pass
    other = Owner("elsewhere", 1, 0.0)
    set_owner(engine, other, seconds=TERM)
    with (
        pytest.raises(AlreadyRunningError, match="elsewhere"),
        held(engine, "run", lambda _: set_owner(engine, other, seconds=TERM), seconds=TERM),
    ):
        pass


def test_what_the_loser_writes_is_not_there(engine: Engine) -> None:
    with transaction(engine) as session:
        run = Run(uid="u", name="n", study="s", settings={}, origin={})
        session.add(run)
    with held(engine, "run", seconds=TERM) as epoch:
        mine = open_engine(url_text(engine.url))
        fence(mine, "run", epoch)
        with transaction(mine) as session:
            session.add(Event(run_id=run.id, kind="before", message=""))
        set_owner(engine, Owner("elsewhere", 1, 0.0), seconds=TERM)
        with pytest.raises(AlreadyRunningError, match="took over this run"), transaction(mine) as session:
            session.add(Event(run_id=run.id, kind="after", message=""))
        mine.dispose()
    with engine.connect() as connection:
        assert connection.scalars(select(Event.kind)).all() == ["before"]
        assert connection.scalar(select(Lease.owner))["host"] == "elsewhere", "the loser leaves the winner's lease"
