"""Is every secret gone, whatever it stands in, and does the rest stay readable?"""

import json
import time

import pytest

from noded.adapters.masking import LONGEST_LINE, Masking

S = "hUnter2-Sw0rdf1sh"
"""The secret of every line."""
KEY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"] * 20)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

LINES = [
    f"password={S}",
    f"password: {S} and more of it",
    f'"password": "{S}"',
    f"'passwd' => '{S}'",
    f'{{"db_password":"{S}","x":1}}',
    f'"msg": "login {{\\"password\\": \\"{S}\\"}}"',
    f'\\\\"token\\\\": \\\\"{S}\\\\"',
    f'"password": "a\\"{S}"',
    f'password=ab"{S}',
    f"PGPASSWORD={S} psql",
    f"API_KEY={S}",
    f"api-key: {S}",
    f"apikey = {S}",
    f"client_secret={S}&user=anna",
    f"GET /x?access_token={S}&user=anna",
    f"aws_secret_access_key = {S}",
    f"AccountKey={S};EndpointSuffix=x",
    f"session_id={S}",
    f"env: [('DB_PASSWORD', '{S}')]",
    f'[["GATEWAY_KEY", "{S}"]]',
    f"--password {S}",
    f"--db-password={S}",
    f'["tool", "--token", "{S}"]',
    f"postgres://anna:{S}@db/shop",
    f"redis://:{S}@cache:6379/0",
    f"https://{S}@github.com/x/y",
    f"amqp://anna:pa/{S}@mq",
    f"Authorization: Bearer {S}",
    f"authorization: {S}",
    f'"Authorization": "Basic {S}"',
    f"Proxy-Authorization: Digest {S}",
    f"headers=('Authorization', 'Bearer {S}')",
    f"sent bearer {S} to the gateway",
    f"Cookie: a=1; sid={S}",
    f"Set-Cookie: sid={S}; HttpOnly",
    f"X-Auth-Token: {S}",
    f"X-Gateway: {S}",
]


@pytest.mark.parametrize("line", LINES, ids=LINES)
def test_a_secret_in_a_line(line: str) -> None:
    for text in (f"{line}", f"12:00 INFO {line}"):
        masking = Masking()
        masked = masking.text(text)
        assert S not in masked
        assert S[5:] not in masked
        assert "***" in masked
        assert masking.counts.total() >= 1


TOKENS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl",
    "glpat-abcdefghij0123456789",
    "xoxb-123456789012-abcdefghij",
    "sk-proj-abcdefghijklmnop1234",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "AIzaSyA1234567890abcdefghijklmnopqrstuvw",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "hvs.CAESIJ1234567890abcdefghij",
    JWT,
]


@pytest.mark.parametrize("token", TOKENS, ids=[token[:8] for token in TOKENS])
def test_a_token_that_is_known_by_its_looks(token: str) -> None:
    for text in (f"got {token} back", f"({token})", f'"{token}"', f"x={token},y"):
        assert token[8:] not in Masking().text(text)


HARMLESS = [
    "GET /items/17 200 in 12 ms",
    "2026-03-01 12:00:00 INFO listening on unix:/run/noded/i/catalog.7/http.sock",
    "memory grows 5.0 MiB/min, the limit in 40 min",
    "see https://example.org/docs?page=2#top",
    "mail anna@example.org",
    "started pid 4711: ready after 0.2 s",
    "code 1: No such file or directory: '/srv/x'",
    "token expired",
    "the author: nobody",
]


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_no_secret_stays(line: str) -> None:
    masking = Masking()
    assert masking.text(line) == f"{line}\n"
    assert masking.counts.total() == 0


def block(kind: str = "RSA PRIVATE KEY") -> str:
    return f"-----BEGIN {kind}-----\n{KEY}\nshort=\n-----END {kind}-----"


BLOCKS = {
    "whole": f"before\n{block()}\nafter",
    "openssh": f"before\n{block('OPENSSH PRIVATE KEY')}\nafter",
    "two": f"before\n{block()}\n{block('CERTIFICATE')}\nafter",
    "with a log's prefix": "before\n"
    + "\n".join(f"12:00 app | {line}" for line in block().splitlines())
    + "\nafter",
    "its beginning cut off": f"before: all is well\n{KEY}\nshort=\n-----END RSA PRIVATE KEY-----\nafter",
    "encrypted": f"before\n-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\n{KEY}\n-----END X-----\nafter",
    "on one line": "before\n" + json.dumps(block())[1:-1] + "\nafter",
    "in a string": "before\n" + json.dumps({"cert": block()}) + "\nafter",
    "one line after another": f"before\nx {block()} y\nafter",
}


@pytest.mark.parametrize("text", BLOCKS.values(), ids=BLOCKS)
def test_a_block_of_a_key(text: str) -> None:
    masked = Masking().text(text)
    assert "MIIEvQ" not in masked
    assert masked.startswith("before")
    assert masked.endswith("after\n")


def test_a_block_whose_end_never_comes_hides_a_hundred_lines_and_no_more() -> None:
    text = f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n" + "a line\n" * 200
    masked = Masking().text(text)
    assert "MIIEvQ" not in masked
    assert 100 <= masked.count("a line\n") < 200


def test_values_that_are_known_go_wherever_they_stand() -> None:
    masking = Masking(known=["shop-Zx81", 'a "quoted" one', "no"])
    assert masking.line("connect with shop-Zx81 now") == "connect with *** now"
    assert masking.line(json.dumps({"x": 'a "quoted" one'})) == '{"x": "***"}'
    assert masking.line("no way") == "no way"
    assert masking.counts == {"known value": 2}


def test_a_tree_is_masked_by_its_keys_and_stays_a_tree() -> None:
    masking = Masking()
    raw = {
        "node": {"name": "catalog", "env": {"LOG_LEVEL": "info", "DSN": S, "LC_ALL": "C"}},
        "spec": {"env": [["PATH", "/bin"], ["ANY", S]], "secrets": [["GATEWAY_KEY", "file:/etc/k"]]},
        "api_key": S,
        "password": 1234567,
        "empty_token": "",
        "environment": [S],
        "list": [f"token={S}", 5, None, True],
        "run": ["tool", "--token", S, "--verbose", "x"],
        "pair": ["SOME_TOKEN", S],
        "text": f"a\n{block()}\nb",
    }
    masked = masking.tree(raw)
    assert S not in json.dumps(masked)
    assert "MIIE" not in json.dumps(masked)
    assert masked["node"] == {"name": "catalog", "env": {"LOG_LEVEL": "info", "DSN": "***", "LC_ALL": "C"}}
    assert masked["spec"]["env"] == [["PATH", "/bin"], ["ANY", "***"]]
    assert (masked["password"], masked["empty_token"], masked["environment"]) == ("***", "", "***")
    assert masked["run"] == ["tool", "--token", "***", "--verbose", "x"]
    assert masked["pair"] == ["SOME_TOKEN", "***"]
    assert masked["list"][1:] == [5, None, True]


def test_a_tree_without_end_is_cut() -> None:
    raw: list[object] = [S]
    for _ in range(200):
        raw = [raw]
    assert S not in json.dumps(Masking().tree(raw))


@pytest.mark.parametrize(
    "line",
    ["key" * 9000, "-" * 20_000, "a://" * 5000, "-eyJ" * 5000, "key='" * 5000, "=" * 20_000, "secret_" * 4000,
     "-----BEGIN X-----" * 1200, "x-" * 9000, '\\"' * 9000, "a@" * 9000, "bearer " * 3000, "_-" * 9000],
    ids=lambda line: line[:10],
)  # fmt: skip
def test_no_line_of_a_node_takes_long(line: str) -> None:
    begun = time.process_time()
    masked = Masking(known=["something"]).text(line)
    assert time.process_time() - begun < 0.5
    assert len(masked) <= 2 * LONGEST_LINE
