"""What does a product look like on its own page?"""

from nodekit import Cache

from .products import RATES, Product


def page(product: Product, currency: str, pages: Cache[tuple[str, str], str]) -> str:
    """The page from `pages`, else made anew and kept there."""
    key = (product.sku, currency)
    text = pages.get(key)
    if text is None:
        text = pages[key] = render(product, currency)
    return text


def render(product: Product, currency: str) -> str:
    others = "".join(
        f"<li>{product.price(other)} {other}</li>\n" for other in sorted(RATES) if other != currency
    )
    return (
        f"<!doctype html>\n<title>{product.name}</title>\n<h1>{product.name}</h1>\n<p>{product.text}</p>\n"
        f"<p class=price>{product.price(currency)} {currency}</p>\n<ul>\n{others}</ul>\n"
    )
