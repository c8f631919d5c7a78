"""Where `stillhouse serve` listens: any address and any port that there is, and a sentence for the others."""

import re
import socket
import threading

import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.serving.server import bracket_host, listen


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("localhost", socket.AF_INET, "localhost"),
        ("0.0.0.0", socket.AF_INET, "0.0.0.0"),  # noqa: S104 - of a test
        ("", socket.AF_INET, ""),
        pytest.param("::1", socket.AF_INET6, "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")),
        pytest.param("[::1]", socket.AF_INET6, "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")),
        pytest.param("::", socket.AF_INET6, "[::]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6")),
    ],
)
def test_every_kind_of_address_is_listened_at(host: str, family: socket.AddressFamily, address: str) -> None:
    """An address of IPv4 or IPv6 or a name is listened at, and shown as a browser takes it."""
    with listen(host, 0) as listener:
        assert listener.family == family
        assert listener.getsockname()[1] > 0
        assert bracket_host(host) == address
        if address.strip("[]") in {"127.0.0.1", "localhost", "::1"}:
            url = f"http://{address}:{listener.getsockname()[1]}/"
            assert requests.Request("GET", url).prepare().url == url
            with socket.create_connection((host.strip("[]"), listener.getsockname()[1])):
                pass


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        *(
            ("127.0.0.1", port, f"there is no port {port}; choose a --port from 1 to 65535, or 0 for one that is free")
            for port in (-1, 65536, 70000, 10**9)
        ),
        ("no.such.host.invalid", 0, r"'no\.such\.host\.invalid' is no host that can be listened at"),
        ("a" * 70 + ".invalid", 0, "is no host that can be listened at"),
        ("..", 0, "is no host that can be listened at"),
        ("http://127.0.0.1", 0, "is no host that can be listened at"),
        ("127.0.0.1:80", 0, "is no host that can be listened at"),
        ("bad host", 0, "is no host that can be listened at"),
        ("192.0.2.1", 0, r"192\.0\.2\.1:0 cannot be listened at \(.*\); choose another --host"),
        ("2001:db8::1", 0, r"\[2001:db8::1\]:0 cannot be listened at \(.*\); choose another --host"),
    ],
)
def test_a_place_where_nobody_can_listen_is_a_sentence(host: str, port: int, sentence: str) -> None:
    """A port or a host that there is not is named, with the option to change."""
    with pytest.raises(ServiceError, match=sentence):
        listen(host, port)


def test_a_taken_port_is_a_sentence() -> None:
    """A port that somebody holds is named, with the option to change."""
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ServiceError, match=re.escape(f"127.0.0.1:{port} cannot be listened at (")):
            listen("127.0.0.1", port)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6")
def test_a_server_answers_at_an_ipv6_address() -> None:
    """The server takes an open IPv6 port as it takes one of IPv4."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    listener = listen("::1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert requests.get(f"http://{bracket_host('::1')}:{listener.getsockname()[1]}/", timeout=30).text == "here"
    finally:
        server.should_exit = True
        thread.join()
