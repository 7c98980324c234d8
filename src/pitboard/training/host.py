"""The host's hardware, read from `/proc` and `/sys`: unprivileged, offline, and never failing.

What cannot be read is an empty string. `lscpu` and `lsblk` read the same files; slim containers lack them.
"""

import re
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

# Block devices that hold no data of their own: loops, memory, mappings of other devices, removable drives.
_NOT_A_DISK = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)")
# The first digits of a PCI device's class: display controllers, and processing accelerators.
_DISPLAY = ("0x03", "0x12")
_ETHERNET = "1"  # ARPHRD_ETHER, in /sys/class/net/*/type


@dataclass(frozen=True)
class Host:
    """The machine whose `/proc` and `/sys` lie under `root`."""

    root: Path = Path("/")

    def processor_model(self) -> str:
        """Return the processor's marketing name, such as "AMD EPYC 9575F 64-Core Processor"."""
        return self._cpuinfo("model name") or _lscpu_model(self.root)

    def processors(self) -> int:
        """Return the number of processors (sockets), at least one."""
        return max(len(self._distinct("physical_package_id")), 1)

    def cores_per_processor(self) -> str:
        """Return the physical cores of one processor."""
        cores = len(self._distinct("thread_siblings_list"))
        return str(cores // self.processors()) if cores else ""

    def threads_per_processor(self) -> str:
        """Return the hardware threads (vCPUs) of one processor that are online."""
        threads = sum(1 for cpu in self._cpus() if (cpu / "topology").is_dir())
        return str(threads // self.processors()) if threads else ""

    def frequency(self) -> str:
        """Return the base and the highest frequency, or the one a virtual machine shows."""
        scaling = self.root / "sys/devices/system/cpu/cpu0/cpufreq"
        if not scaling.is_dir():
            megahertz = _number(self._cpuinfo("cpu MHz").partition(".")[0])
            return f"{megahertz / 1e3:.1f} GHz" if megahertz else ""
        kilohertz = {
            "base": _number(read_text(scaling / "base_frequency")),
            "max": _number(read_text(scaling / "cpuinfo_max_freq")),
        }
        return "; ".join(f"{khz / 1e6:.1f} GHz ({name})" for name, khz in kilohertz.items() if khz)

    def caches(self) -> str:
        """Return the machine's caches by level: total size and number of instances."""
        sizes: dict[str, dict[str, int]] = defaultdict(dict)
        for index in (entry for cpu in self._cpus() for entry in (cpu / "cache").glob("index[0-9]*")):
            size = _number(read_text(index / "size").removesuffix("K"))
            if size:
                kind = {"Data": "d", "Instruction": "i"}.get(read_text(index / "type"), "")
                sizes[f"L{read_text(index / 'level')}{kind}"][read_text(index / "shared_cpu_list")] = size
        return "; ".join(
            f"{name}: {_binary_size(sum(found.values()) * 1024)} ({_count(len(found), 'instance')})"
            for name, found in sorted(sizes.items())
        )

    def memory(self) -> str:
        """Return the memory that the kernel manages, a little less than what is installed."""
        total = re.search(r"^MemTotal:\s+(\d+) kB", read_text(self.root / "proc/meminfo"), re.MULTILINE)
        size = _number(total[1]) if total else 0
        return _binary_size(size * 1024) if size else ""

    def storage(self) -> tuple[str, str]:
        """Return the kinds of local disks, and their number and capacity."""
        disks: Counter[tuple[str, int]] = Counter()
        for disk in sorted((self.root / "sys/block").glob("*")):
            sectors = _number(read_text(disk / "size"))
            local = not _NOT_A_DISK.match(disk.name) and "1" not in (
                read_text(disk / "removable"),
                read_text(disk / "hidden"),
            )
            if local and sectors:
                # The kernel counts in sectors of 512 bytes, whatever the device's own.
                disks[_disk_kind(disk), sectors * 512] += 1
        kinds = ", ".join(dict.fromkeys(kind for kind, _ in disks))
        return kinds, " + ".join(f"{n}x {_decimal_size(size)} {kind}" for (kind, size), n in disks.items())

    def networking(self) -> str:
        """Return the network ports by kind and rate; a rate that the driver does not tell is left out."""
        ports: Counter[str] = Counter()
        for port in self.rdma_ports():
            if read_text(port / "link_layer") == "InfiniBand":
                ports[f"InfiniBand {read_text(port / 'rate')}".strip()] += 1
        for port in self.ethernet_ports():
            megabits = _number(read_text(port / "speed"))
            ports[f"Ethernet {megabits / 1000:g} Gb/s" if megabits else "Ethernet"] += 1
        return " + ".join(f"{count}x {kind}" for kind, count in ports.items())

    def rdma_ports(self) -> list[Path]:
        """Return the kernel's folders of the ports that have RDMA: InfiniBand, and Ethernet with RoCE."""
        return sorted((self.root / "sys/class/infiniband").glob("*/ports/*"))

    def ethernet_ports(self) -> list[Path]:
        """Return the kernel's folders of the Ethernet ports that are hardware, with RDMA or without."""
        return [
            port
            for port in sorted((self.root / "sys/class/net").glob("*"))
            if (port / "device").exists()
            and not (port / "device/physfn").exists()
            and read_text(port / "type") == _ETHERNET
        ]

    def gpus(self) -> list[dict[str, str]]:
        """Return the GPUs on the PCI bus: address, vendor and device, NUMA node, firmware where told."""
        found = []
        for device in sorted((self.root / "sys/bus/pci/devices").glob("*")):
            if read_text(device / "class").startswith(_DISPLAY):
                told = self.root / "proc/driver/nvidia/gpus" / device.name / "information"
                lines = dict(line.split(":", 1) for line in read_text(told).splitlines() if ":" in line)
                found.append(
                    _told(
                        address=device.name,
                        id=f"{read_text(device / 'vendor')}:{read_text(device / 'device')}",
                        numa_node=read_text(device / "numa_node"),
                        model=lines.get("Model", "").strip(),
                        firmware=lines.get("GPU Firmware", "").strip() or lines.get("Video BIOS", "").strip(),
                    )
                )
        return found

    def adapters(self) -> list[dict[str, str]]:
        """Return the network adapters that are hardware: driver, rate, NUMA node, firmware where told."""
        found = []
        for place in (
            *sorted((self.root / "sys/class/infiniband").glob("*")),
            *sorted((self.root / "sys/class/net").glob("*")),
        ):
            if not (place / "device").exists():
                continue
            driver = place / "device/driver"
            found.append(
                _told(
                    name=place.name,
                    driver=driver.resolve().name if driver.exists() else "",
                    numa_node=read_text(place / "device/numa_node"),
                    rate=read_text(place / "ports/1/rate") or read_text(place / "speed"),
                    link_layer=read_text(place / "ports/1/link_layer"),
                    firmware=read_text(place / "fw_ver"),
                )
            )
        return found

    def first_line(self, path: str) -> str:
        """Return the first line of a file under the root."""
        return read_text(self.root / path).partition("\n")[0]

    def _cpuinfo(self, key: str) -> str:
        found = re.search(rf"^{key}\s*:\s*(.+)$", read_text(self.root / "proc/cpuinfo"), re.MULTILINE)
        return found[1].strip() if found else ""

    def _cpus(self) -> list[Path]:
        return sorted((self.root / "sys/devices/system/cpu").glob("cpu[0-9]*"))

    def _distinct(self, fact: str) -> set[str]:
        return {read_text(cpu / "topology" / fact) for cpu in self._cpus()} - {""}


def _told(**facts: str) -> dict[str, str]:
    return {name: fact for name, fact in facts.items() if fact}


def _binary_size(size: float) -> str:
    """Return a size in bytes with a binary unit: "23.5 GiB"."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{round(size, 1):g} {units[0]}"


def _decimal_size(size: int) -> str:
    return f"{size / 1e12:.2f} TB" if size >= 1e12 else f"{size / 1e9:.0f} GB"


def _disk_kind(disk: Path) -> str:
    if disk.name.startswith("nvme"):
        return "NVMe SSD"
    if disk.name.startswith(("vd", "xvd")):
        return "virtual disk"
    return "HDD" if read_text(disk / "queue/rotational") == "1" else "SSD"


def _lscpu_model(root: Path) -> str:
    """Return the model that `lscpu` knows: `/proc/cpuinfo` does not name Arm's cores."""
    command = ["lscpu", "--sysroot", str(root)]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"^Model name:\s*(.+)$", shown, re.MULTILINE)
    return found[1].strip() if found else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(text: str) -> int:
    """Return a whole number as the kernel writes one; 0 for anything else."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def read_text(path: Path) -> str:
    """Return what a file of the kernel says; "" where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
