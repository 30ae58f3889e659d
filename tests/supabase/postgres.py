"""A real PostgreSQL of the tests' own: no port, no password, thrown away with its folder."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.components import require

SQL = Path(__file__).parent
PATIENCE = "60"  # seconds; it takes a tenth of one
SETTINGS = {
    "listen_addresses": "''",
    # What a killed server has written survives; only the whole machine's crash would show this.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}


class Postgres:
    """One server; `folder` is its home and where its socket is."""

    def __init__(self) -> None:
        self._programs = require("postgresql")
        self.folder = Path(tempfile.mkdtemp(prefix="relay-pg-"))
        # PostgreSQL refuses to be root, so root starts it as the user that came with it.
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o755)

    def create(self) -> None:
        """Make the server's files and the roles of a Supabase project, and start it."""
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        self._run("initdb", "-D", str(self._data), *options)
        self.start()
        self.script("postgres", SQL / "roles.sql")

    def start(self) -> None:
        """Start the server and wait until it answers; it may have been killed before."""
        settings = [f"-c {name}={value}" for name, value in SETTINGS.items()]
        options = " ".join([*settings, f"-k {self.folder}"])
        log = str(self.folder / "log")
        self._run(
            "pg_ctl", "-D", str(self._data), "-w", "-t", PATIENCE, "-l", log, "-o", options, "start"
        )

    def stop(self) -> None:
        """Stop it as a crash would: every connection is cut, nothing is finished."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def start_if_stopped(self) -> None:
        """Clean up after a test that crashed it and left it so."""
        if not (self._data / "postmaster.pid").exists():
            self.start()

    def remove(self) -> None:
        """Stop it and forget it."""
        self.stop()
        shutil.rmtree(self.folder)

    def address(self, database: str, user: str = "postgres") -> str:
        """Where a database is, as libpq reads it."""
        return f"postgres://{user}@/{database}?host={self.folder}"

    def clone(self, template: str, database: str) -> None:
        """Make a database that has all that the template has."""
        self._command("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy", database, template)

    def drop(self, database: str) -> None:
        """Take a database away from whoever still uses it."""
        self._command("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    def script(self, database: str, *paths: Path) -> None:
        """Run files of SQL, each in one transaction."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            for path in paths:
                with connection.transaction():
                    connection.execute(path.read_text())

    def _command(self, text: str, *names: str) -> None:
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            statement = sql.SQL(text).format(*(sql.Identifier(name) for name in names))
            connection.execute(statement)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        drop: dict[str, Any] = {}
        if self._user:
            drop = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        # To a file: a pipe would be inherited by the server and never end.
        with (self.folder / "programs.log").open("ab") as log:
            subprocess.run(
                [self._programs / program, *arguments],
                check=True,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **drop,
            )
