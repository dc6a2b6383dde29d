"""Does the canary's memory grow faster than that of a fresh instance of stable?"""

from noded.model.rollout import Growth


def on_read(growth: Growth, canary_bytes: int, baseline_bytes: int, at: float) -> Growth:
    return growth


def finding(growth: Growth, limit: int) -> str:
    return ""
