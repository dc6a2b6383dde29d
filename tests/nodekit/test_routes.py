"""Does a request reach its function, and does every fault of it become an answer?"""

import asyncio

import pytest

from nodekit.http import HttpError, Request, Response
from nodekit.routes import Routes


def ask(routes: Routes, method: str, path: str) -> Response:
    async def once() -> Response:
        return await routes(Request(method, path, {}, {}))

    return asyncio.run(once())


@pytest.fixture
def routes() -> Routes:
    routes = Routes(timeout=0.05)

    def price(request: Request, sku: str) -> dict[str, str]:
        return {"sku": sku}

    async def create(request: Request) -> str:
        await asyncio.sleep(0)
        return "made"

    def refuse(request: Request) -> None:
        raise HttpError(409, "already there")

    def fail(request: Request) -> None:
        raise KeyError("oops")

    async def hang(request: Request) -> None:
        await asyncio.sleep(60)

    routes.add("GET", "/price/{sku}", price)
    routes.add("GET", "/price/{sku}/of/{shop}.json", lambda request, sku, shop: f"{sku} {shop}")
    routes.add("POST", "/price", create)
    routes.add("GET", "/refuse", refuse)
    routes.add("GET", "/fail", fail)
    routes.add("GET", "/hang", hang)
    routes.add("GET", "/odd", lambda request: object())
    return routes


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/price/a1", 200, '{"sku": "a1"}'),
        ("HEAD", "/price/a1", 200, '{"sku": "a1"}'),
        ("GET", "/price/a%2Fb", 200, '{"sku": "a/b"}'),
        ("GET", "/price/x/of/y.json", 200, "x y"),
        ("POST", "/price", 200, "made"),
        ("GET", "/price/", 404, "not found\n"),
        ("GET", "/price/a/b", 404, "not found\n"),
        ("GET", "/price/%ff", 400, "the path is not UTF-8\n"),
        ("GET", "/price/x/of/yXjson", 404, "not found\n"),
        ("GET", "/refuse", 409, "already there\n"),
        ("GET", "/fail", 500, "internal error\n"),
        ("GET", "/odd", 500, "internal error\n"),
        ("GET", "/hang", 503, "the answer took too long\n"),
    ],
)
def test_answers(routes: Routes, method: str, path: str, status: int, body: str) -> None:
    answer = ask(routes, method, path)
    assert (answer.status, answer.body) == (status, body)


def test_another_method_is_told_which_are_allowed(routes: Routes) -> None:
    answer = ask(routes, "DELETE", "/price")
    assert (answer.status, answer.headers) == (405, {"Allow": "POST"})


@pytest.mark.parametrize("path", ["", "price", "/{}", "/{Sku}", "/a{", "/a}b", "/{a b}"])
def test_a_path_that_means_nothing_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="route: expected a path"):
        Routes(1.0).add("GET", path, print)
