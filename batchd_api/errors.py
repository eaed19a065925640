"""Every error the batchd side raises; its docstring is the sentence a person reads, filled with its data.

BatchdError
├── Invalid               400  a value that cannot be used
│   ├── UnknownInBody          a queue, schedule, job type or host named in a body that does not exist
│   └── StartOutsideSchedule
├── NotAuthenticated      401
│   └── LoginDelayed           too many wrong passwords
├── NotPermitted          403
│   ├── NeedsForce             not empty or in use, and `?forced=true` was not given
│   └── LastSuperuser
├── NotFound              404
│   ├── QueueNotFound, JobNotFound, ScheduleNotFound, UserNotFound, PermissionNotFound, ResultNotFound,
│   │   MetricNotFound
├── Conflict              409
│   ├── AlreadyExists
│   └── StatusRefused
├── BodyTooLarge          413
├── DatabaseUnavailable   503
│   └── DatabaseBusy
├── TooManyListeners      503
├── DatabaseFull          507
└── StartupError               the daemon cannot start; exit code 2
"""

from __future__ import annotations


class BatchdError(Exception):
    """{message}"""

    def __init__(self, **data: object) -> None:
        self.data = data
        super().__init__(self.sentence())

    def sentence(self) -> str:
        return (type(self).__doc__ or "").format(**self.data)


class Invalid(BatchdError):
    """{message}"""

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


class UnknownInBody(Invalid):
    """There is no {kind} named "{name}"."""

    def __init__(self, kind: str, name: str) -> None:
        BatchdError.__init__(self, kind=kind, name=name)


class StartOutsideSchedule(Invalid):
    """The start time {time} lies outside the schedule "{schedule}" of queue "{queue}"{then}."""

    def __init__(self, time: str, schedule: str, queue: str, opens: str | None = None) -> None:
        then = "" if opens is None else f", which opens next at {opens}"
        BatchdError.__init__(self, time=time, schedule=schedule, queue=queue, then=then)


class NotAuthenticated(BatchdError):
    """Please log in: the user name or the password is wrong or missing."""


class WrongToken(NotAuthenticated):
    """The token is missing, or it is not this execution's."""


class LoginDelayed(NotAuthenticated):
    """Too many failed logins: please wait {retry_after_seconds} seconds before the next one."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(retry_after_seconds=retry_after_seconds)


class NotPermitted(BatchdError):
    """User "{user}" lacks the permission {permission}{where}."""

    def __init__(self, user: str, permission: str, where: str = "") -> None:
        super().__init__(user=user, permission=permission, where=where)


class NeedsForce(NotPermitted):
    """{message}"""

    def __init__(self, message: str) -> None:
        BatchdError.__init__(self, message=message)


class LastSuperuser(NotPermitted):
    """This is the last superuser: make another one first, or nobody could grant anything any more."""

    def __init__(self) -> None:
        BatchdError.__init__(self)


class NotFound(BatchdError):
    """There is no {kind} {name}."""

    def __init__(self, kind: str, name: object) -> None:
        shown = name if isinstance(name, int) else f'"{name}"'
        super().__init__(kind=kind, name=shown)


class QueueNotFound(NotFound):
    """There is no queue {name}."""

    def __init__(self, name: str) -> None:
        super().__init__("queue", name)


class JobNotFound(NotFound):
    """There is no job {name}."""

    def __init__(self, job_id: int) -> None:
        super().__init__("job", job_id)


class ScheduleNotFound(NotFound):
    """There is no schedule {name}."""

    def __init__(self, name: str) -> None:
        super().__init__("schedule", name)


class UserNotFound(NotFound):
    """There is no user {name}."""

    def __init__(self, name: str) -> None:
        super().__init__("user", name)


class PermissionNotFound(NotFound):
    """There is no permission {name}."""

    def __init__(self, permission_id: object) -> None:
        super().__init__("permission", permission_id)


class ResultNotFound(NotFound):
    """Job {name} has no result: it never ran."""

    def __init__(self, job_id: int) -> None:
        super().__init__("result", job_id)


class MetricNotFound(NotFound):
    """There is no stored metric {name}."""

    def __init__(self, name: str) -> None:
        super().__init__("stored metric", name)


class Conflict(BatchdError):
    """{message}"""

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


class AlreadyExists(Conflict):
    """{message}"""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f'There is a {kind} named "{name}" already.')


class StatusRefused(Conflict):
    """{message}"""


class BodyTooLarge(BatchdError):
    """The request body is larger than {limit_bytes} bytes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes=limit_bytes)


class DatabaseUnavailable(BatchdError):
    """The database cannot be reached: {detail}"""

    def __init__(self, detail: str) -> None:
        super().__init__(detail=detail)


class DatabaseBusy(DatabaseUnavailable):
    """The database is busy; please try again in a moment."""

    def __init__(self) -> None:
        super().__init__("busy")


class TooManyListeners(BatchdError):
    """{count} programs follow jobs, and there is no room for more: please try again later."""

    def __init__(self, count: int) -> None:
        super().__init__(count=count)


class DatabaseFull(BatchdError):
    """The disk that holds the database is full; nothing was stored."""


class StartupError(BatchdError):
    """{message}"""

    def __init__(self, message: str) -> None:
        super().__init__(message=message)
