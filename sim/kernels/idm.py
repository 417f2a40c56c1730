"""The intelligent driver model: car following in one formula.

    a = a_max (1 - (v / v_wish)^4 - (gap_wish / gap)^2)
    gap_wish = s0 + max(0, v T + v (v - v_lead) / (2 sqrt(a_max b)))

Treiber, Hennecke, Helbing 2000, Phys. Rev. E 62, 1805, eqs. 2-4. Above the wish speed the first two terms are replaced
by a gentle proportional law, so that a falling speed limit does not cause hard braking.
"""

from __future__ import annotations

import warp as wp

wp.set_module_options({"enable_backward": False})

OVERSPEED_GAIN_PER_S = wp.constant(1.5)
BRAKE_LIMIT_MPS2 = wp.constant(-8.0)  # what tyres can do on a dry road


@wp.func
def free_accel(v_mps: float, wish_mps: float, accel_max_mps2: float) -> float:
    """Acceleration on an empty road."""
    if v_mps > wish_mps:
        return wp.max(OVERSPEED_GAIN_PER_S * (wish_mps - v_mps), -4.0)
    r = v_mps / wp.max(wish_mps, 0.01)
    return accel_max_mps2 * (1.0 - r * r * r * r)


@wp.func
def gap_term(
    v_mps: float,
    gap_m: float,
    lead_mps: float,
    headway_s: float,
    accel_max_mps2: float,
    brake_mps2: float,
    gap_min_m: float,
) -> float:
    """(gap_wish / gap)^2 a_max: what the leader takes off the free acceleration, m/s2."""
    wish = gap_min_m + wp.max(
        v_mps * headway_s + v_mps * (v_mps - lead_mps) / (2.0 * wp.sqrt(accel_max_mps2 * brake_mps2)), 0.0
    )
    r = wish / wp.max(gap_m, 0.1)
    return accel_max_mps2 * r * r
