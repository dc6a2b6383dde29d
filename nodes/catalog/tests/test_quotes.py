"""Is a quote right, always the same, and written only once?"""

import unittest
from decimal import Decimal

from catalog.products import PRODUCTS
from catalog.quotes import discount, quote, tally, total

LAMP = PRODUCTS["LA0000"]


class QuoteTest(unittest.TestCase):
    def test_a_quote_names_customer_product_and_price(self) -> None:
        text = quote(LAMP, "acme", 10)
        self.assertIn("QUOTE for acme", text)
        self.assertIn("10 x oak lamp (LA0000)", text)
        self.assertIn("195.02", text)  # 10 x 19.90 less 2 %

    def test_equal_questions_get_equal_answers(self) -> None:
        first = [quote(LAMP, f"customer-{number}", number) for number in range(1, 60)]
        again = [quote(LAMP, f"customer-{number}", number) for number in range(1, 60)]
        self.assertEqual(first, again)

    def test_different_questions_get_different_answers(self) -> None:
        chair = PRODUCTS["CH0100"]
        texts = {
            quote(LAMP, "acme", 1),
            quote(LAMP, "acme", 2),
            quote(LAMP, "umbrella", 1),
            quote(chair, "acme", 1),
        }
        self.assertEqual(len(texts), 4)

    def test_a_quote_that_is_opened_again_is_not_written_again(self) -> None:
        asked, written = tally.asked, tally.written
        for _ in range(50):
            quote(LAMP, "faithful", 7)
        self.assertEqual(tally.asked - asked, 50)
        self.assertEqual(tally.written - written, 1)

    def test_recent_quotes_of_many_customers_are_not_written_again(self) -> None:
        for _ in range(3):
            written = tally.written
            for number in range(100):
                quote(LAMP, f"regular-{number}", 3)
        self.assertEqual(tally.written, written)

    def test_discount_rises_with_quantity(self) -> None:
        self.assertEqual([discount(pieces) for pieces in (1, 9, 10, 99, 100, 10_000)], [0, 0, 2, 6, 9, 18])

    def test_total_is_rounded_to_cents(self) -> None:
        self.assertEqual(total(LAMP, "EUR", 1), Decimal("19.90"))
        self.assertEqual(total(LAMP, "GBP", 10), Decimal("165.82"))  # 16.92 each, 2 % off: 165.816


if __name__ == "__main__":
    unittest.main()
