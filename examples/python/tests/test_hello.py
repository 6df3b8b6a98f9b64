"""What `hello` says."""

import unittest

from greeting import hello


class Hello(unittest.TestCase):
    """Whom it greets, and how."""

    def test_greets_by_name(self) -> None:
        """It says the name as it is."""
        assert hello("Ada") == "Hello, Ada!"

    def test_greets_who_has_no_name(self) -> None:
        """It has a word for everybody."""
        assert hello(" ") == "Hello, stranger!"
