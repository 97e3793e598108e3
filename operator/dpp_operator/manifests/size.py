"""Resources of a Job by its size, and what "more memory" means. Pure; called by `job`."""

import re
from typing import Final

from dpp_core.pods import SizePolicy
from dpp_core.policy import Policy

DEFAULTS: Final = {
    "Small": SizePolicy(),
    "Medium": SizePolicy(cpu="1", memory="2Gi", most_memory="6Gi", disk="8Gi"),
    "Large": SizePolicy(cpu="2", memory="6Gi", most_memory="16Gi", disk="32Gi"),
}
_UNITS: Final = {
    "": 1,
    "m": 0.001,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def find_size(policy: Policy, size: str) -> SizePolicy:
    """Find the resources of a size: the policy's, else the built-in ones."""
    for name, resources in policy.defaults.sizes.items():
        if name == size:
            return resources
    return DEFAULTS.get(size, DEFAULTS["Small"])


def find_memory(resources: SizePolicy, times_short: int) -> str:
    """Find the memory of a try after so many tries that had too little: doubled each time, up to the cap."""
    if times_short == 0:
        return resources.memory
    wanted = parse_bytes(resources.memory) * 2**times_short
    cap = max(parse_bytes(resources.most_memory), parse_bytes(resources.memory))
    return f"{min(wanted, cap) // 2**20}Mi"


def parse_bytes(quantity: str) -> int:
    """Read a quantity such as 512Mi."""
    match = re.fullmatch(r"([0-9]+)(m|Ki|Mi|Gi|Ti|k|M|G|T)?", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    return int(int(match[1]) * _UNITS[match[2] or ""])
