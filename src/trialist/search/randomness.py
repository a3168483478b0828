"""Randomness that is a function of what it is for: the same on every machine, and no state to save.

Knows no searcher.
"""

from __future__ import annotations

import hashlib
import random


def stable_seed(*parts: str | int) -> int:
    """64 bits from words and numbers.

    >>> stable_seed("random", 0, 3) == stable_seed("random", 0, 3) != stable_seed("random", 0, 4)
    True
    """
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def stable_rng(*parts: str | int) -> random.Random:
    """A generator seeded with ``stable_seed``."""
    return random.Random(stable_seed(*parts))


class Permutation:
    """A shuffled ``range(size)`` of which any place can be asked for, at any size.

    A Feistel network of four rounds over the next power of four, walked until it lands inside (Black and Rogaway,
    "Ciphers with Arbitrary Finite Domains", CT-RSA 2002).

        >>> sorted(Permutation(5, seed=1)[at] for at in range(5))
        [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._bits = max(1, ((size - 1).bit_length() + 1) // 2)
        self._seed = seed

    def __getitem__(self, at: int) -> int:
        while True:
            at = self._step(at)
            if at < self._size:
                return at

    def _step(self, at: int) -> int:
        mask = (1 << self._bits) - 1
        left, right = at >> self._bits, at & mask
        for turn in range(4):
            left, right = right, left ^ (self._mix(turn, right) & mask)
        return left << self._bits | right

    def _mix(self, turn: int, half: int) -> int:
        text = f"{self._seed}/{turn}/{half}".encode()
        return int.from_bytes(hashlib.shake_128(text).digest(self._bits // 8 + 1), "big")
