"""One clock for several machines: the database's own. SQLite has one machine, whose clock counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from batchd_api.db.tables import UtcDateTime


class moment(FunctionElement[datetime]):  # noqa: N801  written like the function that it is
    """In a query: the database's clock as it then says, less `ago`. SQLite takes the given `now`."""

    type = UtcDateTime()
    inherit_cache = True
    name = "moment"

    def __init__(self, now: datetime, ago: timedelta = timedelta(0)) -> None:
        super().__init__(
            bindparam(None, now - ago, type_=UtcDateTime()), bindparam(None, ago.total_seconds())
        )


@compiles(moment)
def _as_given(element: Any, compiler: Any, **options: Any) -> str:
    given, _ago = element.clauses
    return str(compiler.process(given, **options))


@compiles(moment, "postgresql")
def _as_the_server_says(element: Any, compiler: Any, **options: Any) -> str:
    _given, ago = element.clauses
    return f"(clock_timestamp() - make_interval(secs => {compiler.process(ago, **options)}))"


def database_now(connection: Connection) -> datetime:
    """Aware."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    return connection.execute(select(func.clock_timestamp(type_=UtcDateTime()))).scalar_one()
