"""A log of a web service by a seeded generator, with odd lines in known places."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

HOSTS = [f"{kind}-{number:02}" for kind, count in (("web", 6), ("api", 5), ("db", 3)) for number in range(1, count + 1)]
USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "niaj")
PATHS = ("/login", "/logout", "/cart", "/search?q=shoes", "/search?q=coats", "/static/app.js", "/static/app.css")
ODD = (
    "{time} FATAL db-02 kernel: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL)",
    "INFO {time} request api-03 method=GET path=/cart status=200 bytes=5120 ms=31 id=8f3a90cc",
    "{time} INFO web-02 request method=GET path=/items?id=1%27%20UNION%20SELECT%20* status=200 bytes=90211 ms=57",
    "{time} INFO api-01 request method=GET path=/items/4411 status=200 bytes=2210 ms=-14 id=5c7712ae",
    "{time} WARN 10.0.6.66 session user=judy event=expired idle=1806 id=77c0d1e5",
    "{time} INFO web-04 request method=PROPFIND path=/.git/config status=404 bytes=12 ms=3 id=93be0c41",
    '{time} INFO web-01 session user=" OR ""=" event=opened idle=0 id=1d9f20ab',
    "Traceback (most recent call last):",
    "{time} INFO db-01 query table=users rows=18446744073709551615 ms=4 id=aa05be72",
    "{time} INFO api-02 request method=GET path=/cart status=777 bytes=NaN ms=null id=e2f1c09b",
)
"""A new error, another order of fields, SQL in an address, a negative duration, an address in place of a host, an
unknown method, a name that is code, a line of a traceback, an overflow, and values that are not numbers."""


def make_log(lines: int, seed: int = 0) -> tuple[str, list[int]]:
    """Return a log of so many lines, and the numbers, from 1, of the lines that are `ODD`."""
    draw = random.Random(seed)
    odd = sorted(draw.sample(range(lines // 20, lines), len(ODD)))
    time, written = datetime(2026, 3, 2, 6, tzinfo=UTC), []
    for number in range(lines):
        time += timedelta(milliseconds=draw.expovariate(1 / 900))
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"
        written.append(ODD[odd.index(number)].format(time=stamp) if number in odd else f"{stamp} {_event(draw)}")
    return "".join(f"{line}\n" for line in written), [number + 1 for number in odd]


def _event(draw: random.Random) -> str:
    """Return an ordinary line without its time."""
    host, number = draw.choice(HOSTS), f"id={draw.getrandbits(32):08x}"
    kind = draw.random()
    if kind < 0.08:
        event = draw.choice(("opened", "closed", "expired"))
        return f"INFO {host} session user={draw.choice(USERS)} event={event} idle={draw.randrange(1800)} {number}"
    if kind < 0.2:
        table = draw.choice(("items", "orders", "users"))
        return (
            f"INFO {host} query table={table} rows={int(draw.expovariate(1 / 80))} ms={draw.randrange(1, 60)} {number}"
        )
    if kind < 0.22:
        return f"WARN {host} retry upstream={draw.choice(HOSTS)} attempt={draw.randrange(1, 4)} {number}"
    if kind < 0.225:
        return f"ERROR {host} timeout upstream={draw.choice(HOSTS)} ms={draw.randrange(5000, 9000)} {number}"
    method, path = draw.choice(("GET", "GET", "GET", "POST")), draw.choice((*PATHS, f"/items/{draw.randrange(9999)}"))
    status = draw.choices((200, 304, 302, 404, 500), (80, 10, 5, 4, 1))[0]
    return (
        f"INFO {host} request method={method} path={path} status={status} bytes={int(draw.lognormvariate(8, 1))} "
        f"ms={int(draw.lognormvariate(3, 0.8)) + 1} {number}"
    )
