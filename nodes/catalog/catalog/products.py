"""What does the shop sell, and what does it cost in each currency?"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
RATES = {
    "EUR": Decimal("1"),
    "USD": Decimal("1.08"),
    "GBP": Decimal("0.85"),
    "CHF": Decimal("0.95"),
    "SEK": Decimal("11.40"),
    "PLN": Decimal("4.30"),
}
MATERIALS = ("oak", "ash", "steel", "brass", "linen", "wool", "glass", "cork", "slate", "felt")
THINGS = (
    ("lamp", "gives a warm light over a table"),
    ("chair", "stands on four legs and stacks"),
    ("shelf", "carries forty kilograms on two brackets"),
    ("desk", "has a drawer on either side"),
    ("stool", "fits under a counter"),
    ("clock", "runs two years on one battery"),
    ("tray", "takes eight cups"),
    ("screen", "folds in three"),
    ("hook", "comes with screws for wood and stone"),
    ("bench", "seats three"),
    ("vase", "holds a litre and a half"),
    ("frame", "takes prints of 30 by 40"),
)


@dataclass(frozen=True, slots=True)
class Product:
    sku: str
    name: str
    text: str
    euros: Decimal

    def price(self, currency: str) -> Decimal:
        return (self.euros * RATES[currency]).quantize(CENT, ROUND_HALF_UP)


def stock() -> dict[str, Product]:
    products = {}
    for row, (thing, text) in enumerate(THINGS):
        for column, material in enumerate(MATERIALS):
            sku = f"{thing[:2].upper()}{row:02d}{column:02d}"
            euros = Decimal(1990 + row * 1375 + column * 465) / 100
            name = f"{material} {thing}"
            products[sku] = Product(sku, name, f"This {name} {text}.", euros)
    return products


PRODUCTS = stock()


def search(words: str) -> list[Product]:
    """Products whose name has every word, by name."""
    wanted = words.lower().split()
    found = [product for product in PRODUCTS.values() if all(word in product.name for word in wanted)]
    return sorted(found, key=lambda product: product.name)
