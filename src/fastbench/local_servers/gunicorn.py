"""gunicorn and Flask: the app of ``fastbench serve --rest`` in an environment of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fastbench.local_servers.base import HOST, ONNXRUNTIME, LocalServer, Place, get_json, model_urls
from fastbench.serve import rest

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = Path(rest.__file__).with_name("rest_app.py")


class Gunicorn(LocalServer):
    """One worker process that runs one inference at a time."""

    name: ClassVar = "flask"
    about: ClassVar = "gunicorn 27.0.1 and Flask 3.1.3 with the app of fastbench serve --rest"
    installs: ClassVar = (("flask==3.1.3", "gunicorn==27.0.1", ONNXRUNTIME),)
    ports: ClassVar = ("http",)

    def prepare(self, place: Place) -> list[str]:
        """Lay the app, which needs nothing else of fastbench, where gunicorn finds it."""
        shutil.copy(APP, place.work)
        models = {model.name: str(model.path) for model in place.models}
        words = rest.gunicorn_words(HOST, place.ports["http"], workers=1, threads=1)
        app = f"rest_app:create_app({models!r}, 1)"
        return [str(place.python), *words, "--no-control-socket", app]

    def environment(self, place: Place) -> dict[str, str]:
        """Return nothing: gunicorn looks into the folder where it was started."""
        del place
        return {}

    def ready(self, ports: Mapping[str, int]) -> bool:
        """Ask for its health."""
        return bool(get_json(ports["http"], "/health")["models"])

    def targets(self, ports: Mapping[str, int]) -> list[str]:
        """Return the URLs of the models."""
        return model_urls("rest", ports["http"], "/predict")
