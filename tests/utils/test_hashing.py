from __future__ import annotations

import numpy as np

from seqgen.utils.hashing import BASE, mix, powers


def test_powers_and_inverse_powers_cancel_out():
    up, down = powers(5)

    assert min(len(up), len(down)) >= 6
    assert up[:4].tolist() == [pow(BASE, exponent, 1 << 64) for exponent in range(4)]
    assert (up * down == 1).all()


def test_mix_is_the_finalizer_of_splitmix64():
    # the first number of splitmix64 with seed 0
    assert mix(np.array([BASE], np.uint64)).tolist() == [0xE220A8397B1DCDAF]
