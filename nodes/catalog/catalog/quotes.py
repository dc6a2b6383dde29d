"""What is a customer offered for a number of pieces of one product?

A quote is worked out once per customer, product and quantity, and then kept: customers open theirs
again and again.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from .products import CENT, RATES, Product

DISCOUNTS = ((1000, 18), (500, 15), (250, 12), (100, 9), (50, 6), (20, 4), (10, 2), (1, 0))
TERMS = (
    "Prices are net and hold for thirty days from the day of this quote, for any part of the quantity.",
    "Delivery is free from two hundred euros on; below that we add the carrier's price.",
    "Goods stay ours until they are paid for in full.",
    "Whole boxes may be returned unopened within thirty days at the buyer's cost.",
    "A delivery may come in parts; each part is invoiced on its own.",
    "Wood and slate are grown, not made: grain and colour differ from piece to piece and are no defect.",
    "Damage in transit is ours if it is written down on the carrier's note on the day of delivery.",
    "Brass and steel come oiled against rust; wipe them with a dry cloth before first use.",
    "Prices in other currencies follow the rate of the day of this quote, not of the invoice.",
    "Spare screws, brackets and glass are kept for ten years and sent at cost.",
    "An order is binding once we have confirmed it in writing, by letter or by mail.",
    "The law of the place where our workshop stands applies, and its courts decide.",
)


@dataclass(slots=True)
class Tally:
    """How often a quote was asked for, and how often it had to be written."""

    asked: int = 0
    written: int = 0


tally = Tally()
written_quotes: dict[str, str] = {}


def quote(product: Product, customer: str, quantity: int) -> str:
    """The quote's text: the same for the same customer, product and quantity."""
    tally.asked += 1
    token = f"{customer}/{product.sku}/{quantity}"
    text = written_quotes.get(token)
    if text is None:
        tally.written += 1
        text = "\n".join(write(product, customer, quantity))
        written_quotes[token] = text
    return text


def discount(quantity: int) -> int:
    """In percent."""
    return next(percent for least, percent in DISCOUNTS if quantity >= least)


def total(product: Product, currency: str, quantity: int) -> Decimal:
    full = product.price(currency) * quantity
    return (full * (100 - discount(quantity)) / 100).quantize(CENT, ROUND_HALF_UP)


def write(product: Product, customer: str, quantity: int) -> list[str]:
    """Line by line."""
    lines = [
        f"QUOTE for {customer}",
        f"{quantity} x {product.name} ({product.sku})",
        product.text,
        "",
        f"{'currency':<10}{'each':>14}{'discount':>12}{'total':>18}",
    ]
    for currency in sorted(RATES):
        each, whole = product.price(currency), total(product, currency, quantity)
        lines.append(f"{currency:<10}{each:>14}{discount(quantity):>10} %{whole:>18}")
    lines += table("One piece in a larger order:", product, per_piece=True)
    lines += table("The whole of a larger order:", product, per_piece=False)
    lines += ["", *(f"{number}. {term}" for number, term in enumerate(TERMS, 1)), ""]
    return lines


def table(title: str, product: Product, per_piece: bool) -> list[str]:
    """Prices in every currency at each step of the discount."""
    lines = ["", title, f"{'pieces':<10}" + "".join(f"{currency:>14}" for currency in sorted(RATES))]
    for least, percent in reversed(DISCOUNTS):
        times = Decimal(100 - percent) / 100 * (1 if per_piece else least)
        prices = ((product.price(each) * times).quantize(CENT, ROUND_HALF_UP) for each in sorted(RATES))
        lines.append(f"{least:<10}" + "".join(f"{price:>14}" for price in prices))
    return lines
