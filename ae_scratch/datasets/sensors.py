"""Readings of the sensors of a water pump that never existed: a table of correlated columns, and faults to look for.

Three things move a pump: the temperature around it, its speed and the valve behind it. Eight sensors see them through the
pump's physics (affinity laws, throttle curve, motor power), each with its own noise. An autoencoder with a code of three learns
how the readings belong together, and so notices a row in which they do not, even if each value alone is an ordinary one. Only
+ - * / and sqrt, element by element, which every machine rounds alike: the same bytes everywhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..inputs import whole
from ..kernels import philox

EPOCH = 3  # of the random numbers; 0 to 2 make the images
COLUMNS = ("ambient_temperature_c", "speed_rpm", "flow_m3_h", "inlet_pressure_bar", "outlet_pressure_bar", "motor_current_a",
           "bearing_temperature_c", "vibration_mm_s")
DECIMALS = (1, 0, 2, 3, 3, 2, 1, 2)
NOISE = 0.15, 3, 0.35, 0.006, 0.02, 0.2, 0.4, 0.04  # standard deviation of each sensor
DAY = 480  # rows: a reading every three minutes
KEEP = 0.9  # of what speed and valve were one row before
BAR_PER_M = 0.0980665  # pressure of a metre of water


class Fault(NamedTuple):
    """What is wrong in one row: the column it shows in, and what is added to the reading there."""

    row: int
    column: str
    added: float
    cause: str


FAULTS = (Fault(31, "bearing_temperature_c", 6.0, "a bearing runs dry"),
          Fault(84, "vibration_mm_s", 0.5, "the impeller is out of balance"),
          Fault(127, "flow_m3_h", -11.0, "the pump wears: less flow than speed and pressure tell"),
          Fault(190, "motor_current_a", 4.0, "a winding shorts: more current than the load asks for"),
          Fault(243, "inlet_pressure_bar", -0.1, "the filter at the inlet is blocked"),
          Fault(276, "outlet_pressure_bar", 0.45, "the outlet gauge has drifted"))


def make_sensors(n: int = 2000, seed: int = 0, faults: bool = False) -> np.ndarray:
    """Return n successive readings of the pump's sensors: float64 (n, 8), columns COLUMNS, rounded as the sensors print them.

    faults: plant those of FAULTS whose row is below n. A smaller set is the beginning of a larger one. n and seed are whole
    numbers in [0, 2**32): TypeError if not whole, ValueError if outside.

    >>> X = make_sensors(1000, seed=0)
    >>> X.shape, X[0].tolist()
    ((1000, 8), [20.5, 1319.0, 40.61, 1.261, 3.93, 13.97, 42.9, 1.8])
    """
    n, seed = whole(n, "n", 0, 2**32 - 1), whole(seed, "seed", 0, 2**32 - 1)
    noise = philox.normal(seed, philox.DATA, EPOCH, np.arange(n), 3 + len(COLUMNS)).astype(np.float64)
    X = np.stack(_physics(*_causes(noise[:, :3])), axis=1) + noise[:, 3:] * NOISE
    for fault in FAULTS if faults else ():
        if fault.row < n:
            X[fault.row, COLUMNS.index(fault.column)] += fault.added
    scale = np.array([10.0**d for d in DECIMALS])
    return np.rint(X * scale) / scale


def _causes(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ambient temperature in C, speed and valve as shares of their largest: (n,) each, moving slowly."""
    drift, state = np.zeros_like(steps), np.zeros(3)
    for row, step in enumerate(steps):
        state = KEEP * state + np.sqrt(1 - KEEP * KEEP) * step  # of variance 1
        drift[row] = state
    drift = drift / np.sqrt(1 + drift * drift)  # within (-1, 1)
    return 19 + 5 * _wave(len(steps)) + 2 * drift[:, 0], 0.86 + 0.13 * drift[:, 1], 0.70 + 0.25 * drift[:, 2]


def _wave(n: int) -> np.ndarray:
    """Return n rows of a daily wave between -1 and 1: half a parabola up, half a parabola down, as good as a sine."""
    phase = np.arange(n) % DAY / DAY
    half = phase * 2 % 1
    return np.where(phase < 0.5, 4, -4) * half * (1 - half)


def _physics(ambient: np.ndarray, speed: np.ndarray, valve: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what each sensor would read without noise.

    The pump lifts by 42 speed^2 - 0.0035 Q^2 metres, the pipe needs 8 + 0.004 Q^2 / valve^2; the flow Q (m^3/h) is where they
    meet.
    """
    flow = np.sqrt((42 * speed**2 - 8) / (0.0035 + 0.004 / valve**2))
    lift = 42 * speed**2 - 0.0035 * flow**2
    inlet = 1.35 - 0.00006 * flow**2
    best = flow / (62 * speed)  # 1 at the flow the impeller was made for
    cube = speed * speed * speed  # NumPy's own powers differ between machines, squares excepted
    power = flow * lift * 0.002725 / (0.78 - 0.5 * (best - 1) ** 2) + 1.1 * cube  # kW
    current = 4 + 2.1 * power
    vibration = 0.7 + 1.1 * speed**2 + 3 * (best - 1) ** 2
    bearing = ambient + 14 * speed + 0.45 * current + 2 * vibration
    return ambient, 1480 * speed, flow, inlet, inlet + BAR_PER_M * lift, current, bearing, vibration
