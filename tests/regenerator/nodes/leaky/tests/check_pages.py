"""What must stay true of pages."""

import unittest

from leaky import pages


class Pages(unittest.TestCase):
    def test_a_page_names_itself(self) -> None:
        self.assertTrue(pages.page("a").startswith("page a "))

    def test_a_page_is_written_once(self) -> None:
        pages.page("twice")
        before = pages.written
        pages.page("twice")
        self.assertEqual(pages.written, before)
