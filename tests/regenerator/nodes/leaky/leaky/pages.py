"""Pages are written once and then kept."""

written = 0
made: dict[str, str] = {}  # by name


def page(name: str) -> str:
    text = made.get(name)
    if text is None:
        text = render(name)
        made[name] = text
    return text


def render(name: str) -> str:
    global written
    written += 1
    return f"page {name} " + "p" * 4000
