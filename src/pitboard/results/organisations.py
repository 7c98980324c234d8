"""Organisations that entered rounds under several names, and the names by which people look for them."""

from functools import lru_cache

_NAMES = """
Quanta Cloud Technology: QCT
Verda: Datacrunch, DataCrunch.io
Sustainable Metal Cloud: SMC, smc-ac-power, smc-dc-power, Firmus
University of Florida: UF, UFL, HiPerGator, HPG
Wiwynn: Kinabalu
GIGABYTE: GigaComputing, Giga Computing
Intel-HabanaLabs: Habana, Habana Labs, Habana-Intel
Supermicro: Super Micro, Super Micro Computer, SMCI
Microsoft Azure: Azure, Microsoft
Clemson: Clemson University, Clemson University Research Computing and Data
Oracle: OCI
"""
"""An organisation, then its other names: of other rounds, of its products and systems, and short ones."""

# Sources: Datacrunch's announcement of its new name, Verda (2025); round 5.1's descriptions of Wiwynn's
# system (Kinabalu) and of the University of Florida's (HiPerGator); GIGABYTE founded Giga Computing in 2023;
# round 4.0's descriptions in smc, smc-ac-power and smc-dc-power name Sustainable Metal Cloud.


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


_ONE = {
    _plain(other): _plain(name)
    for line in _NAMES.strip().splitlines()
    for name, others in [line.split(": ", 1)]
    for other in others.split(", ")
}


@lru_cache(maxsize=4096)
def one_name(organisation: str) -> str:
    """Give the text that is the same for all names of an organisation, of any round and in any spelling."""
    plain = _plain(organisation)
    return _ONE.get(plain, plain)
