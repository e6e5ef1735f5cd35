"""Certificates for tests, made by the ``openssl`` program: a CA and what it signs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OPENSSL = shutil.which("openssl")
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, PEM files."""

    cert: Path
    key: Path


class Authority:
    """A CA of its own in ``folder``; ``cert`` is its certificate."""

    def __init__(self, folder: Path) -> None:
        """Make its key and certificate."""
        folder.mkdir()
        self._folder = folder
        self.cert = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", *NEW_KEY, "-keyout", self._key, "-out", self.cert),
            *("-days", "30", "-subj", "/CN=a CA for tests"),
        )

    def issue(
        self, name: str, alternatives: str, *, days: int = 20, key: tuple[str, ...] = NEW_KEY
    ) -> Pair:
        """Sign a certificate, e.g. for ``DNS:localhost,IP:127.0.0.1``; days -1 = it has expired.

        ``key``: how ``openssl req`` is told which to make.
        """
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        extensions.write_text(f"subjectAltName={alternatives}\n")
        subject = ("-subj", f"/CN={name}")
        _openssl("req", *key, "-keyout", pair.key, "-out", request, *subject)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key),
            *("-CAcreateserial", "-out", pair.cert, "-extfile", extensions, "-days", days),
        )
        return pair


def encrypted(key: Path, out: Path) -> Path:
    """Write ``key`` with a pass phrase."""
    _openssl("pkey", "-in", key, "-aes128", "-passout", "pass:secret", "-out", out)
    return out


def _openssl(*arguments: object) -> None:
    assert OPENSSL is not None
    subprocess.run([OPENSSL, *map(str, arguments)], check=True, capture_output=True, timeout=60)
