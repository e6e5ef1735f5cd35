"""TLS on the control plane: the same wishes as on the measured path, and what its errors mean."""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING, Any

import redis

from fastbench.errors import UsageError
from fastbench.plan import TLS_1_2, TLS_1_3, Tls

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from fastbench.config import TlsConfig

_GIVE_CA = "give the CA's certificate by --tls-ca"
_GIVE_NAME = "give the name that it holds by --tls-server-name"
_GIVE_CERTIFICATE = "it may want a client certificate: --tls-cert and --tls-key"
_NOT_ACCEPTED = "it does not accept the client certificate"
_OTHER_VERSION = "the server speaks other versions of TLS: see --tls-min-version"

#: What to do, by the code that the check of the server's certificate ended with (X509_V_ERR_...).
_ON_VERIFYING = {
    9: "set this machine's clock",
    10: "renew it, or set this machine's clock",
    18: _GIVE_CA,
    19: _GIVE_CA,
    20: _GIVE_CA,
    21: _GIVE_CA,
    62: _GIVE_NAME,
    64: _GIVE_NAME,
}

#: What to do, by OpenSSL's reason.
_ON_TALKING = {
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _GIVE_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _GIVE_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NOT_ACCEPTED,
    "TLSV1_ALERT_UNKNOWN_CA": _NOT_ACCEPTED,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OTHER_VERSION,
    "UNSUPPORTED_PROTOCOL": _OTHER_VERSION,
    "UNEXPECTED_EOF_WHILE_READING": "does it speak TLS there?",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "does it speak the target's protocol there?",
}


class Secured:
    """TLS towards one server, as ``config`` has it; ``host``: of the target.

    ``alpn``: the protocol that is offered, which the server may choose; empty = none.

    ``plan``: the same for the engine, with the cipher once tried. ``agreed``: version and cipher,
    once tried. ``heard``: to be set when the server has answered, for only then has it accepted
    our certificate, or none.

    Raises :class:`UsageError` naming the file that cannot be used.
    """

    def __init__(self, config: TlsConfig, host: str, alpn: str = "") -> None:
        """Read the certificates."""
        self.plan = _plan(config, config.server_name or host)
        self.agreed = ""
        self.heard = False
        self._context = make_context(config)
        if alpn:
            self._context.set_alpn_protocols([alpn])

    def try_on(self, probe: socket.socket) -> str:
        """Shake hands on a connected socket and close it, before anything else is tried.

        Returns the protocol that the server chose by ALPN; empty = none.
        """
        with self.wrap(probe) as wrapped:
            suite = (wrapped.cipher() or ("",))[0]
            self.plan = dataclasses.replace(self.plan, suite=suite)
            self.agreed = f"{wrapped.version()}, {suite}"
            return wrapped.selected_alpn_protocol() or ""

    def wrap(self, plain: socket.socket) -> ssl.SSLSocket:
        """Shake hands on a connected socket, which the result then stands for."""
        return self._context.wrap_socket(plain, server_hostname=self.plan.server_name)

    def explain(self, error: BaseException) -> str | None:
        """Return what TLS says of ``error`` and what to do; None where it is not TLS's."""
        if self.agreed and not self.heard and not self.plan.cert_file and ended(error):
            return f"the server closed the connection; {_GIVE_CERTIFICATE}"
        for found in _chain(error):
            if isinstance(found, ssl.SSLError):
                return _describe(found)
            if isinstance(found, TimeoutError) and "handshake" in str(found):
                return "the TLS handshake timed out: does it speak TLS there?"
        return None

    def pool(self, **options: Any) -> redis.ConnectionPool:
        """Return what makes connections for redis-py, with its ``options``."""
        return redis.ConnectionPool(
            _Connection,
            context=self._context,
            server_name=self.plan.server_name,
            **options,
        )


class _Connection(redis.Connection):
    """A connection of redis-py whose context and expected server name are ours to choose."""

    def __init__(self, *, context: ssl.SSLContext, server_name: str, **options: Any) -> None:
        """Keep what :meth:`_connect` needs."""
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py's
        self._context = context
        self._server_name = server_name

    def _connect(self) -> socket.socket:
        plain: socket.socket = super()._connect()  # type: ignore[no-untyped-call]  # redis-py's
        return self._context.wrap_socket(plain, server_hostname=self._server_name)


def make_context(config: TlsConfig) -> ssl.SSLContext:
    """Return a client's context.

    Raises :class:`UsageError` naming the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT")  # OpenSSL's, in its order, as the engine offers them
    is_1_3 = config.min_version == "1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_1_3 else ssl.TLSVersion.TLSv1_2
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif config.ca is None:
        context.set_default_verify_paths()
    else:
        try:
            context.load_verify_locations(config.ca)
        except OSError as error:
            raise _unusable(error, "--tls-ca", config.ca) from error
    _identify(context, config)
    return context


def _plan(config: TlsConfig, server_name: str) -> Tls:
    return Tls(
        server_name=server_name,
        ca_file=str(config.ca or ""),
        cert_file=str(config.cert or ""),
        key_file=str(config.key or ""),
        min_version=TLS_1_3 if config.min_version == "1.3" else TLS_1_2,
        insecure=config.insecure,
    )


def ended(error: BaseException) -> bool:
    """Tell whether the server closed the connection."""
    kinds = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
    return "closed" in str(error) or any(isinstance(e, kinds) for e in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _describe(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"the server's certificate is not good: {error.verify_message.rstrip('.')}"
        advice = _ON_VERIFYING.get(error.verify_code)
    else:
        reason = error.reason or str(error)
        what = f"TLS failed: {reason.lower().replace('_', ' ')}"
        advice = _ON_TALKING.get(reason)
    return f"{what}; {advice}" if advice else what


def _identify(context: ssl.SSLContext, config: TlsConfig) -> None:
    if config.cert is None or config.key is None:
        return

    def no_passphrase() -> str:
        msg = (
            f"--tls-key {config.key}: is encrypted; pass phrases are not supported, "
            "write it without one by 'openssl pkey'"
        )
        raise UsageError(msg)

    for path, option in ((config.cert, "--tls-cert"), (config.key, "--tls-key")):
        try:
            path.open("rb").close()
        except OSError as error:
            raise _unusable(error, option, path) from error
    try:
        context.load_cert_chain(config.cert, config.key, no_passphrase)
    except OSError as error:
        raise _unusable(error, f"--tls-cert {config.cert}, --tls-key", config.key) from error


def _unusable(error: OSError, option: str, path: Path) -> UsageError:
    reason = getattr(error, "reason", None)
    why = error.strerror if reason is None else reason.lower().replace("_", " ")
    return UsageError(f"{option} {path}: {why}; give a PEM file")
