"""Where the daemon's log goes and how a line looks: the `logging` section of `batchd.yaml`."""

from __future__ import annotations

import logging
import logging.handlers
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from batchd_api.settings_records import LoggingSettings, LogLevel

SYSLOG_SOCKET = Path("/dev/log")
_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
# What a user wrote must not begin a line of its own or move the cursor.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LEVELS = {
    LogLevel.CONFIG: logging.DEBUG,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.VERBOSE: (logging.DEBUG + logging.INFO) // 2,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
    LogLevel.FATAL: logging.CRITICAL,
    LogLevel.DISABLE: logging.CRITICAL + 10,
}


class Lines(logging.Formatter):
    """`{time} {level} {source} {message} …`; `{level:~l}` is lower case; a field without a value is empty."""

    def __init__(self, template: str) -> None:
        super().__init__()
        self._template = template.rstrip("\n")

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "message": _CONTROL.sub(lambda match: repr(match[0])[1:-1], message),
            "thread": record.threadName or "",
            "location": f"{record.module}:{record.lineno}",
            "line": str(record.lineno),
            "file": record.filename,
            "package": record.name.split(".", 1)[0],
        }
        return _FIELD.sub(lambda match: _modified(values.get(match[1], ""), match[2]), self._template)


def configure(settings: LoggingSettings) -> None:
    """Set the root logger up. Called once, by the process's entry point."""
    handler = _handler(settings.target)
    handler.setFormatter(Lines(settings.format))
    logging.basicConfig(handlers=[handler], level=_LEVELS[settings.level], force=True)
    for noisy in ("alembic", "asyncio", "httpx", "httpcore", "paramiko", "prefect", "uvicorn", "websockets"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for prefix, level in settings.filter.items():
        logging.getLogger(prefix).setLevel(_LEVELS[level])


def _handler(target: str) -> logging.Handler:
    if target == "syslog" and SYSLOG_SOCKET.exists():
        return logging.handlers.SysLogHandler(str(SYSLOG_SOCKET))
    if target in ("syslog", "stderr"):  # a machine without syslog still says what happens
        return logging.StreamHandler(sys.stderr)
    if target == "stdout":
        return logging.StreamHandler(sys.stdout)
    return logging.handlers.WatchedFileHandler(Path(target).expanduser())


def _modified(value: str, modifier: str | None) -> str:
    if modifier == "~l":
        return value.lower()
    if modifier == "~u":
        return value.upper()
    return value
