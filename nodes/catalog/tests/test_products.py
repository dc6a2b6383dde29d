"""Are products, pages and search right?"""

import unittest
from decimal import Decimal

from catalog.pages import page
from catalog.products import PRODUCTS, search
from nodekit import Cache


class ProductTest(unittest.TestCase):
    def test_every_product_has_its_own_name_and_a_price(self) -> None:
        self.assertEqual(len(PRODUCTS), 120)
        self.assertEqual(len({product.name for product in PRODUCTS.values()}), 120)
        self.assertTrue(all(product.euros > 0 for product in PRODUCTS.values()))

    def test_prices_follow_the_rates(self) -> None:
        lamp = PRODUCTS["LA0000"]
        self.assertEqual(lamp.price("EUR"), Decimal("19.90"))
        self.assertEqual(lamp.price("USD"), Decimal("21.49"))

    def test_search_wants_every_word(self) -> None:
        self.assertEqual([product.sku for product in search("Lamp oak")], ["LA0000"])
        self.assertEqual(len(search("lamp")), 10)
        self.assertEqual(search("submarine"), [])

    def test_a_page_is_kept(self) -> None:
        pages: Cache[tuple[str, str], str] = Cache(limit=10)
        first = page(PRODUCTS["LA0000"], "SEK", pages)
        self.assertIn("226.86 SEK", first)
        self.assertIs(page(PRODUCTS["LA0000"], "SEK", pages), first)
        self.assertEqual((pages.hits, pages.misses), (1, 1))


if __name__ == "__main__":
    unittest.main()
