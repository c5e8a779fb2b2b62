"""How idle OpenMP threads wait: they sleep after a short spin, so that other programs get the cores."""

from __future__ import annotations

import os

SPIN_COUNT = "10000"
"""How often an idle thread polls for work before it sleeps. OpenMP's default spins much longer: that gains nothing on a
quiet machine, and is up to 60 times slower on a busy one."""


def let_idle_threads_sleep() -> None:
    """Set the spin count of GNU OpenMP before torch loads it, unless the user has configured OpenMP."""
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}.isdisjoint(os.environ):
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT
