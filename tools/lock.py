"""Write the hashes of all that is installed, and the wheel's bill of materials.

python tools/lock.py

`requirements/base.txt` is what `pip install pitboard` brings, on any platform, `requirements/ci.txt` what the
tests and pages need on Linux too, both at the versions of `constraints.txt` with the SHA-256 of every file of
the package index. PyTorch is left out of the second, with what it brings: CPUs and GPUs have builds of their
own. `src/pitboard/sbom.cdx.json` lists the first, and what is vendored, in CycloneDX's form.

Needs `uv` on the path.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "requirements"
SBOM = ROOT / "src/pitboard/sbom.cdx.json"

_OF_TORCH = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
_PINNED = re.compile(r"^([\w.-]+)==([^ ;]+)", re.MULTILINE)
_STATIC = ROOT / "src/pitboard/web/static"
_HTMX = _STATIC / "htmx.min.js"


def main() -> int:
    """Write the three files; exit 1 where uv finds no solution."""
    FOLDER.mkdir(exist_ok=True)
    linux = ["--python-platform", "x86_64-manylinux_2_28", "--python-version", "3.11.7"]
    extras = [word for extra in ("train", "web", "dev", "docs") for word in ("--extra", extra)]
    plans = {
        "base.txt": ["--universal", "--python-version", "3.11"],
        "ci.txt": [*linux, *extras],
    }
    for name, more in plans.items():
        command = ["uv", "pip", "compile", "pyproject.toml", "--constraint", "constraints.txt", *more]
        command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return 1
        (FOLDER / name).write_text("# Written by `make lock`.\n" + without_torch(done.stdout))
    SBOM.write_text(json.dumps(bill_of_materials(), indent=1) + "\n")
    return 0


def without_torch(text: str) -> str:
    """Leave out PyTorch and what only it brings, each with its hashes."""
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return "".join(entry for entry in entries if not _OF_TORCH.match(entry))


def pinned(name: str) -> dict[str, str]:
    """Return the versions in a file of `requirements/`, by package."""
    return dict(_PINNED.findall((FOLDER / name).read_text()))


def bill_of_materials() -> dict[str, Any]:
    """Return what the wheel brings and holds, as CycloneDX 1.6; the same for the same files."""
    htmx = re.findall(r"is htmx ([\d.]+),", (_STATIC / "README.md").read_text())[0]
    components: list[dict[str, Any]] = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{found}",
            "name": name,
            "version": found,
            "purl": f"pkg:pypi/{name}@{found}",
        }
        for name, found in sorted(pinned("base.txt").items())
    ]
    components.append(
        {
            "type": "library",
            "bom-ref": f"pkg:npm/htmx.org@{htmx}",
            "name": "htmx.org",
            "version": htmx,
            "purl": f"pkg:npm/htmx.org@{htmx}",
            "licenses": [{"license": {"id": "0BSD"}}],
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(_HTMX.read_bytes()).hexdigest()}],
            "properties": [{"name": "pitboard:vendored", "value": "pitboard/web/static/htmx.min.js"}],
        }
    )
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "pitboard", "purl": "pkg:pypi/pitboard"}},
        "components": components,
    }


if __name__ == "__main__":
    sys.exit(main())
