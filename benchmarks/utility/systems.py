"""What is compared: the package's own synthesizers, and peers in environments of their own."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthpriv.synthesizers.storage import SYNTHESIZERS

PEERS = Path(__file__).parent / "peers"
OURS = "synthpriv"


@dataclass(frozen=True, kw_only=True)
class System:
    """One synthesizer under comparison.

    environment: the peer's environment, "" for this one. claims: whether it can be private. unclaimed:
    whether it can go without privacy. options: what is passed on beside the claim.
    """

    name: str
    environment: str = ""
    claims: bool = True
    unclaimed: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def runs(self, epsilon: float) -> bool:
        """Whether it can be asked for this epsilon."""
        return self.unclaimed if epsilon == float("inf") else self.claims

    def command(self, environments: Path) -> list[str]:
        """What runs it on a request; the peer's environment is made first, where it is missing."""
        if not self.environment:
            return [sys.executable, "-m", "benchmarks.utility.ours"]
        python = make_environment(self.environment, environments)
        return [str(python), str(PEERS / f"run_{self.environment}.py")]


def _peers(environment: str, *names: str, **abilities: Any) -> list[System]:
    return [System(name=f"{environment}-{name}", environment=environment, **abilities) for name in names]


SYSTEMS = {
    system.name: system
    for system in [
        *(System(name=f"{OURS}-{name}") for name in SYNTHESIZERS),
        *_peers("dpmm", "aim", "mst", "privbayes", unclaimed=False),
        *_peers("smartnoise", "aim", "mst", "patectgan", unclaimed=False),
        *_peers("ctgan", "ctgan", claims=False, options={"epochs": 40}),
        *_peers("ctgan", "tvae", claims=False, options={"epochs": 30}),
        *_peers("mostlyai", "argn"),
    ]
}


def make_environment(name: str, environments: Path) -> Path:
    """The interpreter of a peer's environment, made from its pinned requirements: exactly those, no other.

    A changed list makes another environment. What an interrupted installation left is made anew. torch is
    installed first, and with what its build asks for (CUDA libraries, or nothing).
    """
    requirements = PEERS / f"{name}.txt"
    text = requirements.read_text()
    folder = environments / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    python, finished = folder / "bin" / "python", folder / "finished"
    if finished.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"making the environment of {name} in {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    torch = [line for line in text.splitlines() if line.startswith("torch==")]
    if torch:
        subprocess.run([*pip, *torch], check=True)
    subprocess.run([*pip, "--no-deps", "-r", str(requirements)], check=True)
    finished.touch()
    return python
