"""What NCCL chose, read from the log that it writes with NCCL_DEBUG=INFO (2.18 and later, and RCCL's)."""

import re
from collections import defaultdict

from pitboard.launch.fabric.record import NcclChoice

# Each line begins with "host:process:thread [device] NCCL INFO"; what follows is matched.
_VERSION = re.compile(r"(?:NCCL|RCCL) version[ :]+(\S{1,60})")
_NETWORK = re.compile(r"NCCL INFO Using network (.{1,60}?)\s*$", re.MULTILINE)
_ADAPTERS = re.compile(r"NCCL INFO NET/IB\w* : Using ((?:\[\d+\][\w.-]{1,60}:\d+/[\w/]+\s*)+)")
_ADAPTER = re.compile(r"\[\d+\]([\w.-]+:\d+)/\w+")
_NONE = re.compile(r"NCCL INFO NET/IB\w* : No device found")
_SETTING = re.compile(
    r"NCCL INFO (NCCL_\w{1,60}) set (?:by environment )?to (.{0,200}?)\.?\s*$", re.MULTILINE
)
_CHANNEL = re.compile(
    r"NCCL INFO Channel \d+(?:/\d+)? : (\d{1,9})\[\w+\] -> (\d{1,9})\[\w+\]"
    r"(?: \[(?:send|receive)\])? via ([A-Za-z].{0,120}?)\s*(?:comm 0x\w+.*)?$",
    re.MULTILINE,
)


def read_log(rank: int, text: str) -> NcclChoice:
    """Return what a rank's log says that it chose; what it does not say is left empty."""
    links: dict[int, set[str]] = defaultdict(set)
    for sender, receiver, transport in _CHANNEL.findall(text):
        ends = {int(sender), int(receiver)}
        if rank in ends and len(ends) == 2:
            (peer,) = ends - {rank}
            links[peer].add(_transport(transport))
    version, networks = _VERSION.search(text), _NETWORK.findall(text)
    adapters = [name for found in _ADAPTERS.findall(text) for name in _ADAPTER.findall(found)]
    return NcclChoice(
        rank=rank,
        version=version[1] if version else "",
        network=networks[-1] if networks else "",
        adapters=list(dict.fromkeys(adapters)),
        no_adapter=bool(_NONE.search(text)),
        links={peer: sorted(found) for peer, found in sorted(links.items())},
        settings=dict(_SETTING.findall(text)),
    )


def _transport(words: str) -> str:
    """Return a transport without the number of its device: "NET/IB/3/GDRDMA" is "NET/IB/GDRDMA"."""
    parts = [part for part in words.split("/") if not re.fullmatch(r"\d+(\(\d+\))?", part)]
    return "/".join(part for part in parts if not part.startswith("flush"))
