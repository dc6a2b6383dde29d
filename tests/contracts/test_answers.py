"""What must hold for whatever takes answers?"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from noded.adapters.answers import PendingAnswers
from noded.ports import Answers
from tests.adapters.looped import looped
from tests.fakes.answers import FakeAnswers


@dataclass(frozen=True, slots=True)
class World:
    """`got` asks something and gives what was answered once `act` was done with the request's number."""

    answers: Answers
    got: Callable[[Callable[[int], None]], tuple[str, str, str] | None]


def faked() -> World:
    answers = FakeAnswers()

    def got(act: Callable[[int], None]) -> tuple[str, str, str] | None:
        act(7)
        return next(
            ((kind, text, effect) for number, kind, text, effect in answers.given if number == 7), None
        )

    return World(answers, got)


def pending() -> World:
    answers = PendingAnswers()

    def got(act: Callable[[int], None]) -> tuple[str, str, str] | None:
        number, waiting = answers.open()
        act(number)
        if not waiting.done():
            return None
        reply = waiting.result()
        return reply.kind, reply.text, reply.effect

    return World(answers, got)


@pytest.mark.parametrize("make", [faked, pending])
@looped
async def test_an_answer_reaches_who_asked(make: Callable[[], World]) -> None:
    world = make()
    found = world.got(lambda number: world.answers.answer(number, "", "it starts", "create"))
    assert found == ("", "it starts", "create")


@pytest.mark.parametrize("make", [faked, pending])
@looped
async def test_an_answer_to_another_does_not(make: Callable[[], World]) -> None:
    world = make()
    assert world.got(lambda number: world.answers.answer(number + 1, "", "x", "")) is None


@pytest.mark.parametrize("make", [faked, pending])
@looped
async def test_the_first_answer_counts(make: Callable[[], World]) -> None:
    world = make()

    def twice(number: int) -> None:
        world.answers.answer(number, "refused", "no", "")
        world.answers.answer(number, "", "yes", "")

    assert world.got(twice) == ("refused", "no", "")


@looped
async def test_who_left_is_forgotten() -> None:
    answers = PendingAnswers()
    number, waiting = answers.open()
    waiting.cancel()
    await asyncio.sleep(0)
    answers.answer(number, "", "too late", "")
    assert answers._waiting == {}
    other, _ = answers.open()
    assert other != number
