"""Tells what the outbox holds, through Apprise. Whatever a target does, nothing else waits for it.

Each message has a thread of its own for so long as its target takes, at most a few at once; a thread that
hangs is left behind, and its message is due again.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import apprise
from pydantic import SecretStr

from batchd_api.outbox import Message, Outbox

log = logging.getLogger("batchd.notify")

LOOK_SECONDS = 2.0
LONG_SECONDS = 30.0
MOST_AT_ONCE = 4
TIMEOUT_SECONDS = 60.0

Send = Callable[[str, Message], bool]


class Notifier:
    """`targets`: name → Apprise address, which holds secrets and is never shown."""

    def __init__(
        self,
        outbox: Outbox,
        targets: Mapping[str, SecretStr],
        *,
        send: Send | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._outbox = outbox
        self._targets = targets
        self._send = send or tell
        self._clock = clock
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled. Does nothing where no target is configured."""
        if not self._targets:
            return
        # Apprise says addresses, with their secrets, in its own log.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        for name, url in self._targets.items():
            if not is_address(url.get_secret_value()):
                log.error("notify.targets.%s is no address that Apprise knows; nobody is told there", name)
        look_long = 0.0
        while True:
            try:
                if look_long <= 0:
                    look_long = LONG_SECONDS
                    await asyncio.to_thread(self._outbox.note_long, self._clock())
                await self.step()
            except Exception:
                log.exception("notifications stumbled; they go on")
            await asyncio.sleep(LOOK_SECONDS)
            look_long -= LOOK_SECONDS

    async def step(self) -> None:
        """Begin to tell what is due, as far as threads are free."""
        free = MOST_AT_ONCE - len(self._sending)
        if free <= 0:
            return
        for message in await asyncio.to_thread(self._outbox.take, self._clock(), free):
            task = asyncio.create_task(self._tell(message), name=f"notification {message.id}")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def settle(self) -> None:
        """Wait for what has begun."""
        await asyncio.gather(*self._sending)

    async def _tell(self, message: Message) -> None:
        ok = await self._in_a_thread(message)
        try:
            if ok:
                await asyncio.to_thread(self._outbox.told, message)
                return
            what = "it is given up" if message.last_try else "it is tried again"
            log.warning("the target %s did not take a message; %s", message.target, what)
            await asyncio.to_thread(self._outbox.not_told, message, self._clock())
        except Exception:
            log.exception("what became of a message was not noted; it may be told twice")

    async def _in_a_thread(self, message: Message) -> bool:
        """In one that nobody waits for at the end of the program."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        url = self._targets[message.target].get_secret_value()

        def work() -> None:
            try:
                ok = self._send(url, message)
            except Exception as error:
                log.warning("the target %s: %s", message.target, type(error).__name__)
                ok = False
            _answer(loop, answer, ok)

        threading.Thread(target=work, daemon=True, name=f"notification {message.id}").start()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await answer
        except TimeoutError:
            return False


def _answer(loop: asyncio.AbstractEventLoop, answer: asyncio.Future[bool], ok: bool) -> None:
    def note() -> None:
        if not answer.done():
            answer.set_result(ok)

    try:
        loop.call_soon_threadsafe(note)
    except RuntimeError:  # the loop is closed: we are stopping, and the message is due again
        return


def tell(url: str, message: Message) -> bool:
    """Blocking, within the timeouts that the target's service has in Apprise."""
    service = apprise.Apprise()
    if not service.add(url):
        return False
    return bool(service.notify(body=message.body, title=message.title, body_format=apprise.NotifyFormat.TEXT))


def is_address(url: str) -> bool:
    """Whether Apprise knows a service for it."""
    return apprise.Apprise().add(url)
