"""A libvirtd of the tests' own: its test driver, and real guests that QEMU emulates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.own_namespace import daemon_in_namespace
from tests.waiting import missing, need_programs

try:
    import libvirt
except ImportError:  # an optional extra
    libvirt = None

HIDDEN = ("/run/libvirt", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")

# No helper daemons, no second user, no cgroups: what a container of a CI machine allows.
QEMU_CONF = """
stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
"""
# Real-mode code: switch ACPI's power button on, sleep, look whether it was pressed, then power off.
GUEST = bytes.fromhex("31C08ED8 BA0206 B80001 EF FB F4 BA0006 ED F6C401 74F6 BA0406 B80020 EF EBFE")
# The same without a power button: it sleeps whatever it is told.
DEAF_GUEST = bytes.fromhex("FB F4 EBFD")
SECTOR_END = b"\x55\xaa"
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LibvirtDaemon:
    folder: Path
    socket: Path

    def uri(self, driver: str, path: str) -> str:
        return f"{driver}+unix://{path}?socket={self.socket}"

    @property
    def test_uri(self) -> str:
        return self.uri("test", "/default")

    @property
    def qemu_uri(self) -> str:
        return self.uri("qemu", "/system")


def need_libvirt() -> None:
    if libvirt is None:
        missing("the optional extra libvirt is not installed")


@contextmanager
def running_libvirtd(folder: Path) -> Iterator[LibvirtDaemon]:
    need_libvirt()
    need_programs("libvirtd", "qemu-system-x86_64")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    (folder / "qemu.conf").write_text(QEMU_CONF)
    config = folder / "libvirtd.conf"
    config.write_text(
        f'unix_sock_dir = "{folder}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        f'log_outputs = "3:file:{folder}/libvirtd.log"\n'
    )
    # Before it reads its configuration, libvirtd looks for a user whose package wants systemd.
    script = f"""umount /sys/fs/cgroup/unified 2>/dev/null
cp {folder}/qemu.conf /etc/libvirt/
for file in passwd group; do
  {{ cat /etc/$file; echo libvirt-qemu:x:64055:64055::/:/bin/false; }} > {folder}/$file
  mount --bind {folder}/$file /etc/$file
done
mkdir -p /var/lib/libvirt/qemu
exec /usr/sbin/libvirtd -f {config} -p {folder}/pid"""
    socket = folder / "libvirt-sock"
    with daemon_in_namespace(folder, HIDDEN, ["sh", "-c", script], socket, {}):
        yield LibvirtDaemon(folder=folder, socket=socket)


def pretended_domain(name: str) -> str:
    """XML for the test driver."""
    return (
        f"<domain type='test'><name>{name}</name><memory>1024</memory><vcpu>1</vcpu>"
        "<os><type>hvm</type></os></domain>"
    )


def real_domain(name: str, folder: Path, code: bytes = GUEST) -> str:
    """XML of a guest of 16 MiB without an operating system, which boots in a moment."""
    disk = folder / f"{name}.img"
    disk.write_bytes((code.ljust(510, b"\0") + SECTOR_END).ljust(MIB, b"\0"))
    return f"""<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<on_poweroff>destroy</on_poweroff><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
<target dev='vda' bus='virtio'/><readonly/></disk>
<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""
