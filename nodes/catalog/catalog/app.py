"""Which question gets which answer?"""

import re

from nodekit import HttpError, Node, Request, Response

from .news import BESTSELLER, bestseller, bestsellers, opened
from .pages import page
from .products import PRODUCTS, RATES, Product, search
from .quotes import quote

CUSTOMER = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_PIECES = 10_000

node = Node()
pages = node.cache("pages", limit=500)
node.on(BESTSELLER)(bestseller)


@node.get("/healthz")
def healthz(request: Request) -> str:
    return "ok\n"


@node.get("/products")
def products(request: Request) -> object:
    return {"products": [brief(product) for product in PRODUCTS.values()]}


@node.get("/products/{sku}")
def product(request: Request, sku: str) -> Response:
    currency = request.query.get("currency", "EUR")
    if currency not in RATES:
        raise HttpError(400, f"currency: expected one of {', '.join(sorted(RATES))}")
    return Response(page(known(sku), currency, pages), type="text/html; charset=utf-8")


@node.get("/quote/{sku}")
def quoted(request: Request, sku: str) -> str:
    customer, pieces = request.query.get("customer", ""), request.query.get("quantity", "1")
    if not CUSTOMER.fullmatch(customer):
        raise HttpError(400, "customer: expected 1 to 64 letters, digits, dots, dashes or underscores")
    if not re.fullmatch(r"[0-9]{1,5}", pieces) or not 1 <= int(pieces) <= MOST_PIECES:
        raise HttpError(400, f"quantity: expected 1 to {MOST_PIECES}")
    text = quote(known(sku), customer, int(pieces))
    opened(node, sku, int(pieces))
    return text


@node.get("/search")
def searched(request: Request) -> object:
    words = request.query.get("q", "").strip()
    if not words or len(words) > 100:
        raise HttpError(400, "q: expected 1 to 100 characters")
    return {"products": [brief(product) for product in search(words)]}


def known(sku: str) -> Product:
    if sku not in PRODUCTS:
        raise HttpError(404, f"there is no product {sku[:32]!r}")
    return PRODUCTS[sku]


def brief(product: Product) -> dict[str, object]:
    price = {"price": f"{product.euros:.2f}", "currency": "EUR"}
    return {"sku": product.sku, "name": product.name, **price, "bestseller": product.sku in bestsellers}
