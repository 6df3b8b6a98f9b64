"""What `total` adds up to."""

import unittest

from prices import total


class Total(unittest.TestCase):
    """Of some things, and of none."""

    def test_adds_up(self) -> None:
        """Every thing counts as often as it is named."""
        assert total("bread", "salt", "salt") == 480

    def test_is_nothing_for_nothing(self) -> None:
        """No things cost nothing."""
        assert total() == 0
