"""What workers of other work pools report of their attempts, each with its token. Blocking."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from batchd_api.db.tables import attempts, jobs
from batchd_api.errors import Conflict, Invalid, WrongToken
from batchd_api.outbox import Outbox
from batchd_api.recorder import Attempt, OldToken, Recorder
from batchd_api.schemas import text_in
from batchd_api.services.ground import Ground
from batchd_flows.job_types import OnFail
from batchd_flows.run import CHUNK_BYTES, Chunk, Outcome

EXIT_CODES = range(-255, 256)


class AttemptOver(Conflict):
    """{message}"""

    def __init__(self) -> None:
        super().__init__("This execution has ended here; what is said of it is not taken any more.")


class AttemptReports:
    def __init__(self, ground: Ground, outbox: Outbox | None = None) -> None:
        self._ground = ground
        self._recorder = Recorder(ground.database, outbox)

    def check(self, attempt_id: int, token: str) -> None:
        """Raises WrongToken for a token that is not this attempt's."""
        with self._ground.database.read() as connection:
            query = select(attempts.c.token).where(attempts.c.id == attempt_id)
            known = connection.execute(query).scalar() or ""
        if not known or not hmac.compare_digest(known.encode(), token.encode(errors="replace")):
            raise WrongToken

    def order(self, attempt_id: int) -> dict[str, Any]:
        """What is to be run."""
        self._living(attempt_id)
        with self._ground.database.read() as connection:
            query = select(attempts.c.order).where(attempts.c.id == attempt_id)
            found: dict[str, Any] | None = connection.execute(query).scalar()
        if found is None:
            raise AttemptOver
        return found

    def output(self, attempt_id: int, body: Mapping[str, Any]) -> dict[str, bool]:
        """It has started; and a piece of output, if there is one. Answers whether it is still wanted."""
        attempt, now = self._living(attempt_id), self._ground.clock()
        piece = _piece(body)
        try:
            self._recorder.started(attempt, now)
            if piece is not None:
                stream, offset, data = piece
                self._recorder.add_output(attempt, [Chunk(stream=stream, offset=offset, data=data, time=now)])
            if body.get("cut") is True:
                self._recorder.cut(attempt, now)
        except OldToken as error:
            raise AttemptOver from error
        self._ground.changed()
        return {"wanted": not attempt.cancel_requested}

    def exit(self, attempt_id: int, body: Mapping[str, Any]) -> None:
        """Its tree is gone."""
        attempt, code = self._living(attempt_id), body.get("exit_code")
        if code is not None and (type(code) is not int or code not in EXIT_CODES):
            raise Invalid('"exit_code" must be a whole number from -255 to 255, or null.')
        reason = text_in(body, "reason")
        if code is None and reason is None:
            raise Invalid('Without "exit_code" there must be a "reason".')
        outcome = Outcome(exit_code=code, reason=reason, output_cut=body.get("output_cut") is True)
        try:
            self._recorder.ended(attempt, outcome, self._on_fail(attempt), self._ground.clock())
        except OldToken as error:
            raise AttemptOver from error
        self._ground.changed()

    def _living(self, attempt_id: int) -> Attempt:
        attempt = self._recorder.fresh(attempt_id)
        if attempt is None or attempt.work_pool is None:
            raise AttemptOver
        return attempt

    def _on_fail(self, attempt: Attempt) -> OnFail:
        with self._ground.database.read() as connection:
            name = connection.execute(select(jobs.c.type_name).where(jobs.c.id == attempt.job_id)).scalar()
        types = self._ground.job_types
        return types.get(name).on_fail if name is not None and name in types else OnFail()


def _piece(body: Mapping[str, Any]) -> tuple[Any, int, bytes] | None:
    if "data" not in body:
        return None
    stream, offset = body.get("stream"), body.get("offset")
    if stream not in ("stdout", "stderr"):
        raise Invalid('"stream" must be "stdout" or "stderr".')
    if type(offset) is not int or not 0 <= offset < 2**62:
        raise Invalid('"offset" must be a whole number: where the piece begins.')
    try:
        data = base64.b64decode(text_in(body, "data") or "", validate=True)
    except (binascii.Error, ValueError):
        raise Invalid('"data" must be base64.') from None
    if len(data) > CHUNK_BYTES:
        raise Invalid(f'"data" holds more than {CHUNK_BYTES} bytes.')
    return stream, offset, data
