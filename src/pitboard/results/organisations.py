"""Organisations that entered different rounds under different names."""

_SAME = {"QCT": "Quanta_Cloud_Technology", "Quanta Cloud Technology": "Quanta_Cloud_Technology"}


def one_name(organisation: str) -> str:
    """Give the text that is the same for all names under which an organisation entered rounds."""
    return _SAME.get(organisation, organisation).replace("_", " ").casefold()
