"""Target URLs: what they mean, and what is said about wrong ones."""

from __future__ import annotations

import pytest

from fastbench.errors import EXIT_USAGE, UsageError
from fastbench.targets import Target, is_local, parse_target


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("redisai://example.org", {"host": "example.org", "port": 6379}),
        ("redisai://127.0.0.1:7000", {"host": "127.0.0.1", "port": 7000}),
        ("redisai://127.0.0.1:7000/", {"host": "127.0.0.1", "port": 7000}),
        ("redisai://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redisai://ann@h:1", {"host": "h", "port": 1, "user": "ann"}),
        ("redisai://a%40b@h:65535", {"host": "h", "port": 65535, "user": "a@b"}),
        ("redisai+unix:///run/r.sock", {"path": "/run/r.sock"}),
        ("redisai+unix:///a%20b%3F", {"path": "/a b?"}),
        ("redisai+unix://ann@/run/r.sock", {"path": "/run/r.sock", "user": "ann"}),
    ],
)
def test_valid(url: str, parts: dict[str, str | int]) -> None:
    """Host, port, path and user are found; the port has a default; the URL is kept."""
    target = parse_target(url)

    found = {name: getattr(target, name) for name in ("host", "port", "path", "user")}
    assert {name: value for name, value in found.items() if value} == parts
    assert (target.kind, target.url) == ("redisai", url)


@pytest.mark.parametrize(
    ("url", "kind", "tls"),
    [
        ("redisais://h", "redisai", True),
        ("rediss://h", "redis", True),
        ("redisai://h", "redisai", False),
        ("redis://h", "redis", False),
        ("redis+unix:///s", "redis", False),
    ],
)
def test_tls_is_a_scheme(url: str, kind: str, *, tls: bool) -> None:
    """The scheme with an s speaks to the same kind of server, over TLS, at the same port."""
    target = parse_target(url)

    assert (target.kind, target.tls) == (kind, tls)
    assert target.port == (0 if target.path else 6379)


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("redis://h", [("h", 6379)]),
        ("redis://h1:7000,h2", [("h1", 7000), ("h2", 6379)]),
        ("rediss://ann@[::1]:7000,[fe80::2],h3/", [("::1", 7000), ("fe80::2", 6379), ("h3", 6379)]),
        ("redisai+unix:///a,/b/c.sock", ["/a", "/b/c.sock"]),
        ("redisai+unix://ann@/a%2Cb", ["/a,b"]),
    ],
)
def test_several_servers(url: str, places: list[tuple[str, int] | str]) -> None:
    """A comma separates servers that share scheme and user; the first one stands for all."""
    target = parse_target(url)

    each = target.endpoints
    assert [e.path or (e.host, e.port) for e in each] == places
    assert {(e.kind, e.tls, e.user) for e in each} == {(target.kind, target.tls, target.user)}
    assert (target.url, target.host, target.path) == (url, each[0].host, each[0].path)
    assert [parse_target(e.url) for e in each] == list(each)
    assert not any(e.others for e in each)


@pytest.mark.parametrize(("url", "path"), [("embedded:", ""), ("embedded:unix", "unix")])
def test_embedded(url: str, path: str) -> None:
    """The embedded server has no address yet, at most the wish for a unix socket."""
    assert parse_target(url) == Target(url, "embedded", path=path)


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("", "scheme"),
        ("127.0.0.1:6379", "scheme"),
        ("foo://127.0.0.1:6379", "scheme"),
        ("redisai", "scheme"),
        ("redisai:/h", "scheme"),
        ("embedded://", "scheme"),
        ("embedded:tcp", "scheme"),
        ("redisai://", "host"),
        ("redisai://:6379", "host"),
        ("redisai://h:0", "port"),
        ("redisai://h:-1", "port"),
        ("redisai://h:65536", "port"),
        ("redisai://h:http", "port"),
        ("redisai://h:1/0", "follow"),
        ("redisai://h:1?db=0", "follow"),
        ("redisai://[::1", "host"),
        ("redisai://a..b", "host"),
        (f"redisai://{'a' * 64}", "host"),
        ("redisai+unix://", "path"),
        ("redisai://h:1,h:x", "port"),
        ("redisai://h:1,", "host"),
        ("redisai+unix:///a,b", "path"),
        ("redisai+unix://relative", "path"),
        ("redisai+unix://host/path", "path"),
        ("redisai+unix:///r.sock?db=0", "path"),
    ],
)
def test_invalid(url: str, word: str) -> None:
    """One line that repeats the URL and names the part that is wrong; it is a usage error."""
    with pytest.raises(UsageError, match=word) as caught:
        parse_target(url)

    assert repr(url) in str(caught.value) or "," in url
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    "url",
    [
        "redisai://ann:s3cret@h:1",
        "redisai://:s3cret@h",
        "redisai://ann:s3cret@h,i",
        "redisai+unix://ann:s3cret@/run/r.sock",
        "foo://ann:s3cret@h",
        "redisai://ann:s3cret@[::1",
    ],
)
def test_password_is_refused_and_not_repeated(url: str) -> None:
    """A password in the URL would be visible to all users: it is refused, and not printed again."""
    with pytest.raises(UsageError) as caught:
        parse_target(url)

    assert "s3cret" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "port", "resource", "tls"),
    [
        ("rest://h", 80, "/", False),
        ("rests://h", 443, "/", True),
        ("rest://ann@h:8000/v1/m:predict?a=b%20c", 8000, "/v1/m:predict?a=b%20c", False),
        ("rest://[::1]:81?x", 81, "/?x", False),
    ],
)
def test_http_targets_have_a_resource(url: str, port: int, resource: str, *, tls: bool) -> None:
    """Path and query stand in the requests as they stand in the URL; ports are those of the web."""
    target = parse_target(url)

    assert (target.kind, target.port, target.resource, target.tls) == ("rest", port, resource, tls)


def test_several_http_servers_share_the_resource() -> None:
    """What follows the servers holds for each of them."""
    places = [(e.host, e.port, e.resource) for e in parse_target("rest://a:1,b/p?q").endpoints]

    assert places == [("a", 1, "/p?q"), ("b", 80, "/p?q")]


@pytest.mark.parametrize("url", ["rest://h/a#b", "rest://h/a b", "rest://h/\u00e4", "rest:///x"])
def test_wrong_http_targets(url: str) -> None:
    """A fragment, what cannot stand in a request line, or no host is refused."""
    with pytest.raises(UsageError, match="target"):
        parse_target(url)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("embedded:", True),
        ("embedded:unix", True),
        ("redisai+unix:///run/s", True),
        ("redis://localhost:6379", True),
        ("redis://user@127.0.0.1:6379", True),
        ("rest://127.9.9.9/path", True),
        ("redis://[::1]:6379", True),
        ("redis://h:6379", False),
        ("redis://localhost.example.com:6379", False),
        ("redis://127.0.0.1.example.com:6379", False),
        ("redis://10.0.0.1:6379", False),
        ("redis://[2001:db8::1]:6379", False),
    ],
)
def test_what_is_certainly_local(url: str, local: bool) -> None:
    """Only what cannot be another machine is local: a name that begins like loopback can be."""
    assert is_local(url) == local


@pytest.mark.parametrize(
    ("url", "kind", "port", "model", "version"),
    [
        ("triton+http://h/m", "triton+http", 8000, "m", ""),
        ("triton+https://h/m/2/", "triton+http", 443, "m", "2"),
        ("triton+grpc://h/m/2", "triton+grpc", 8001, "m", "2"),
        ("tfserving+http://ann@h:81/a%20b/12", "tfserving+http", 81, "a%20b", "12"),
        ("tfserving+https://h/m", "tfserving+http", 443, "m", ""),
        ("torchserve://[::1]/m/1.0", "torchserve", 8080, "m", "1.0"),
        ("tfserving+grpc://h/m/12", "tfserving+grpc", 8500, "m", "12"),
        ("triton+grpcs://h/m", "triton+grpc", 8001, "m", ""),
        ("tfserving+grpcs://h/m", "tfserving+grpc", 8500, "m", ""),
        ("torchserve+grpc://h/m/1.0", "torchserve+grpc", 7070, "m", "1.0"),
    ],
)
def test_targets_with_a_model(url: str, kind: str, port: int, model: str, version: str) -> None:
    """The path names the model and, where there is one, its version; ports are the usual ones."""
    target = parse_target(url)

    assert (target.kind, target.port) == (kind, port)
    assert (target.model, target.version) == (model, version)
    assert target.tls == ("https:" in url or "grpcs:" in url)


def test_management_port() -> None:
    """TorchServe's other port stands in the query, 8081 where it does not; others have none."""
    assert parse_target("torchserve://h/m").management == 8081
    assert parse_target("torchserve://h/m?management=90").management == 90
    assert parse_target("torchserve+grpc://h/m?management=90").management == 90
    assert parse_target("triton+http://h/m").management == 0


def test_signature() -> None:
    """That of a model in TensorFlow Serving stands in the query, as URLs write it."""
    assert parse_target("tfserving+http://h/m").signature == ""
    assert parse_target("tfserving+http://h/m?signature=a%20b").signature == "a b"
    assert parse_target("tfserving+grpc://h/m/1?signature=s").signature == "s"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("triton+http://h", "/MODEL"),
        ("triton+http://h:1/", "triton\\+http://h:1/MODEL or /MODEL/VERSION"),
        ("triton+http://h/m/1/x", "/MODEL"),
        ("triton+http://h/\u00e4", "ASCII"),
        ("triton+http://h/m?x=1", "nothing may follow"),
        ("triton+http://h/m#x", "nothing may follow"),
        ("triton+grpc://h/m?x=1", "nothing may follow"),
        ("tfserving+http://h/m/v1", "numbers"),
        ("tfserving+grpc://h/m/v1", "numbers"),
        ("tfserving+grpc://h/m?signature=", "signature=NAME"),
        ("tfserving+http://h/m?signature=a&x=1", "signature=NAME"),
        ("tfserving+grpc://h/m?management=1", "signature=NAME"),
        ("torchserve+grpc://h/m?signature=a", "management=PORT"),
        ("triton+grpc://me@h/m", "leave out the user"),
        ("triton+grpc://me@h,i/m", "leave out the user"),
        ("tfserving+grpc://@h/m", "leave out the user"),
        ("torchserve://h/m?management=0", "management=PORT"),
        ("torchserve://h/m?management=65536", "management=PORT"),
        ("torchserve://h/m?x=1", "management=PORT"),
        ("torchserve:///m", "host"),
    ],
)
def test_wrong_targets_with_a_model(url: str, words: str) -> None:
    """What names no model, or more than one and its version, is refused with what is right."""
    with pytest.raises(UsageError, match=words):
        parse_target(url)
