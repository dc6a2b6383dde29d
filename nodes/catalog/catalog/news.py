"""What does the catalogue tell other nodes, and what does it hear from them?

Events are news, not a part of an answer: without a mesh, or while it is away for long, customers get
their quotes all the same.
"""

import logging
import os

from nodekit import BufferFull, Context, Node, Reject

from .products import PRODUCTS

OPENED, BESTSELLER = "catalog.quote.opened", "shop.bestseller"
bestsellers: set[str] = set()
logger = logging.getLogger("catalog")


def opened(node: Node, sku: str, quantity: int) -> None:
    if not os.environ.get("NODED_MESH"):
        return
    try:
        node.publish_nowait({"sku": sku, "quantity": quantity}, type=OPENED, subject=sku)
    except BufferFull as error:
        logger.warning("nobody hears of a quote for %s: %s", sku, error)


def bestseller(event: dict[str, str], context: Context) -> None:
    if event["sku"] not in PRODUCTS:
        raise Reject(f"there is no product {event['sku'][:32]!r}")
    bestsellers.add(event["sku"])
