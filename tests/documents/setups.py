"""What a page takes for granted: programs that only pretend, and names that are others here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha3_256
from pathlib import Path

from tests.packaging import ROOT

BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Setup:
    """`programs`: name → script. `replaced`: what stands in the page → what is meant in the test.

    `before` are commands that prepare what a reader has already; they see the page's home as $HOME.
    """

    programs: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    as_root: bool = False


BLENDER = """#!/bin/sh
# Blender's options, its way to number frames and some of its words.
while [ $# -gt 0 ]; do
  case $1 in
    --render-output) out=$2; shift ;;
    --frame-start) first=$2; shift ;;
    --frame-end) last=$2; shift ;;
  esac
  shift
done
frame=$first
while [ "$frame" -le "$last" ]; do
  echo "Fra:$frame Mem:9.61M | Scene, ViewLayer | Sample 64/64"
  file=$(echo "$out" | sed "s/#*$/$(printf %04d "$frame")/").png
  echo picture > "$file"
  echo "Saved: '$file'"
  frame=$((frame + 1))
done
echo "Blender quit"
"""

SUDO = """#!/bin/sh
# We are root already, and there is no user batchd.
[ "$1" = -u ] && shift 2
exec env "$@"
"""

SYSTEMCTL = r"""#!/bin/bash
# Starts what a unit says and stops only its main process, as KillMode=process does.
folder=/etc/systemd/system
start() {
  systemd-analyze verify --man=no --recursive-errors=no "$1" || exit 1
  mkdir -p /var/lib/batchd
  mapfile -t variables < <(sed -n 's/^Environment=//p' "$1")
  read -ra command < <(sed -n 's/^ExecStart=//p' "$1")
  cd /var/lib/batchd || exit 1
  exec >> /var/lib/batchd/said 2>&1
  env "${variables[@]}" "${command[@]}" < /dev/null &  # the very process that becomes the daemon
  echo $! > /run/main.pid
}
unit=$folder/${*: -1}.service
case $1 in
  daemon-reload) ;;
  enable) start "$unit" ;;
  restart)
    grep -q '^KillMode=process$' "$unit" || exit 1
    grep -q batchd_api.app "/proc/$(cat /run/main.pid)/cmdline" || exit 1
    kill "$(cat /run/main.pid)" || exit 1
    while kill -0 "$(cat /run/main.pid)" 2>/dev/null; do sleep 0.1; done
    start "$unit" ;;
  *) echo "systemctl: not pretended: $*" >&2; exit 1 ;;
esac
"""

SSHD = r"""#!/bin/bash
# The woken machine: it is this one, under the address of the page; root is at home in the page's home.
set -e
ip addr add 192.168.122.20/32 dev lo
mkdir -p /run/sshd "$HOME/.ssh"
ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/host"
cp "$HOME/.ssh/id_ed25519.pub" "$HOME/.ssh/authorized_keys"
printf '%s\n' 'ListenAddress 192.168.122.20' "HostKey $HOME/.ssh/host" 'PidFile none' 'UsePAM no' \
  'StrictModes no' "AuthorizedKeysFile $HOME/.ssh/authorized_keys" 'PermitRootLogin prohibit-password' \
  'Subsystem sftp internal-sftp' > "$HOME/.ssh/sshd_config"
mkdir "$HOME/project"
printf 'all:\n\t@echo "[100%%] built all"\n' > "$HOME/project/Makefile"
sed "s#^root:.*#root:x:0:0:root:$HOME:/bin/sh#" /etc/passwd > "$HOME/.ssh/passwd"
mount --bind "$HOME/.ssh/passwd" /etc/passwd
/usr/sbin/sshd -f "$HOME/.ssh/sshd_config" -E "$HOME/sshd.log"
"""

DAEMON = r"""#!/bin/sh
# systemctl of a machine that has one unit: this home's daemon.
[ "$*" = "restart batchd" ] || { echo "systemctl: not pretended: $*" >&2; exit 1; }
if [ -e "$HOME/pid" ]; then
  kill "$(cat "$HOME/pid")"
  while kill -0 "$(cat "$HOME/pid")" 2>/dev/null; do sleep 0.1; done
fi
env -u PREFECT_API_URL -u PREFECT_API_AUTH_STRING batchd >> "$HOME/batchd.log" 2>&1 &
echo $! > "$HOME/pid"
"""

LOGIN = (  # as after the first steps
    "echo 'correct horse battery' | batchd-admin create-superuser ann --password-stdin",
    "sudo systemctl restart batchd",
    "until echo 'correct horse battery' | batch login --password-stdin; do sleep 0.5; done",
)

OLD_HASH = sha3_256(b"old passwordpepperthe one of the old batchd.yaml").hexdigest()
OLD_DATABASE = f"""
import os, sqlite3
os.makedirs(os.path.expanduser("~/old"))
old = sqlite3.connect(os.path.expanduser("~/old/batchd.db"))
old.executescript('''
CREATE TABLE "user" (name VARCHAR PRIMARY KEY, password_hash VARCHAR, salt VARCHAR);
INSERT INTO "user" VALUES ('old-ann', '{OLD_HASH}', 'pepper');
CREATE TABLE user_permission (id INTEGER PRIMARY KEY, user_name VARCHAR, permission VARCHAR,
  queue_name VARCHAR, type_name VARCHAR, host_name VARCHAR);
INSERT INTO user_permission VALUES (1, 'old-ann', 'ViewQueues', NULL, NULL, NULL);
CREATE TABLE schedule (name VARCHAR PRIMARY KEY);
INSERT INTO schedule VALUES ('nights');
CREATE TABLE schedule_time (id INTEGER PRIMARY KEY, schedule_name VARCHAR, "begin" TIME, "end" TIME);
INSERT INTO schedule_time VALUES (1, 'nights', '22:00:00', '06:00:00');
CREATE TABLE queue (name VARCHAR PRIMARY KEY, title VARCHAR, enabled BOOLEAN, schedule_name VARCHAR,
  host_name VARCHAR, autostart_job_count INTEGER);
INSERT INTO queue VALUES ('night', 'Night', true, 'nights', NULL, NULL);
''')
old.close()
"""

COVERED = ("/opt", "/var/lib", "/run")

SETUPS: dict[str, Setup] = {
    "hosts.md": Setup(
        # The driver in memory in place of a hypervisor; files, SSH and everything else are the page's.
        replaced={"driver: libvirt": "driver: fake", "user_name: batch": "user_name: root"},
        programs={"woken-machine": SSHD, "sudo": SUDO, "systemctl": DAEMON},
        before=(
            "woken-machine",
            'cp /etc/hosts hosts && echo "192.168.122.20 workstation.example.org" >> hosts',
            "mount --bind hosts /etc/hosts",
            *LOGIN,
        ),
        as_root=True,
    ),
    "metrics.md": Setup(programs={"sudo": SUDO, "systemctl": DAEMON}, before=LOGIN),
    "flows.md": Setup(
        programs={"sudo": SUDO, "systemctl": DAEMON},
        before=(
            f"ln -s {ROOT} batchd",
            *LOGIN,
            "until curl -sf http://127.0.0.1:4200/api/health; do sleep 0.5; done",
        ),
    ),
    "tutorial/first-steps.md": Setup(replaced={"cd batchd": f"cd {ROOT}"}),
    "how-to/renders.md": Setup(
        programs={"blender": BLENDER}, before=("mkdir shots", "touch shots/shot_03.blend shots/shot_04.blend")
    ),
    "how-to/woken-machine.md": Setup(
        # The driver in memory in place of a hypervisor; files, SSH and everything else are the page's.
        replaced={"driver: libvirt": "driver: fake", "user_name: build": "user_name: root"},
        programs={"woken-machine": SSHD},
        before=("woken-machine",),
        as_root=True,
    ),
    "how-to/cloud-budget.md": Setup(
        before=("mkdir ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519",),
    ),
    "how-to/from-the-original.md": Setup(
        programs={"old-database": f"#!{BIN}/python\n{OLD_DATABASE}"}, before=("old-database",)
    ),
    "how-to/install.md": Setup(
        programs={"sudo": SUDO, "systemctl": SYSTEMCTL, "useradd": "#!/bin/sh\n"},
        # Neither this machine's folders nor the network are touched.
        replaced={
            "cd batchd": f"cd {ROOT}",
            "python3 -m venv /opt/batchd": "test -x /opt/batchd/bin/python",
            "pip install": "pip install --dry-run --no-deps --no-index --no-build-isolation",
        },
        before=(
            'cp -a /etc "$HOME/etc" && mount --bind "$HOME/etc" /etc',
            *(f"mount -t tmpfs tmpfs {folder}" for folder in COVERED),
            f"mkdir /opt/batchd && mount --bind {BIN.parent} /opt/batchd",
        ),
        as_root=True,
    ),
}  # fmt: skip
