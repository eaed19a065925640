"""What can go wrong with a connection over SSH; foreign errors are translated where they enter.

SshError
├── Unreachable             the network, or a machine that is not up: it may work later
│   ├── NoSession           connected, and full
│   └── TooSlow             connected, but no answer within its time
├── CommandEnded            what was to be talked with has ended
├── LoginRefused            no key was accepted
├── KeyUnusable             our own key cannot be read
└── HostKeyRefused          nothing was sent
    ├── HostKeyUnknown
    └── HostKeyChanged
"""

from pathlib import Path

from batchd_infra.errors import InfraError


class SshError(InfraError):
    """A machine cannot be used over SSH; the message says why and never holds a secret."""


class Unreachable(SshError):
    """Refused, timed out or cut: it may work later, and nobody knows what was done before the cut."""


class NoSession(Unreachable):
    """Its sshd allows no more sessions on one connection; those that are open go on."""


class TooSlow(Unreachable):
    """It is connected and does not answer, or not in time."""


class CommandEnded(SshError):
    """A command that was to stay there, and did not."""


class LoginRefused(SshError):
    """The machine accepts none of our keys."""


class KeyUnusable(SshError):
    """The private key cannot be read, or is encrypted and the passphrase is missing or wrong."""


class HostKeyRefused(SshError):
    """Nothing was sent: no user name, no key, no file."""


class HostKeyUnknown(HostKeyRefused):
    """Nobody has said that this key is the machine's own."""

    def __init__(self, address: str, kind: str, fingerprint: str, *, name: str) -> None:
        self.fingerprint = fingerprint
        super().__init__(
            f"host key unknown: {address} has the {kind} key {fingerprint}, which nobody has trusted yet; "
            f"nothing was sent. Compare the fingerprint, then run: batchd-admin trust-host {name}"
        )


class HostKeyChanged(HostKeyRefused):
    """Another key than the trusted one: the machine was installed anew, or somebody stands in between."""

    def __init__(self, address: str, source: Path | str, trusted: str, offered: str) -> None:
        super().__init__(
            f"THE HOST KEY OF {address} HAS CHANGED: trusted is {trusted}, offered was {offered}. Somebody "
            "may be listening in; nothing was sent or stored. If the machine was really installed anew, "
            f"remove its line from {source} and trust it again."
        )
