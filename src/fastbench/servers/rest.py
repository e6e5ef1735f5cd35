"""``rest://``: whatever answers a POST over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastbench.servers.dialect import Served
from fastbench.servers.http_messages import INSTANCES, multipart_body, plain_body
from fastbench.servers.http_replies import plain_tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastbench.servers.http_messages import Body, JsonForm, Sent
    from fastbench.servers.http_replies import Answer
    from fastbench.servers.http_server import HttpServer
    from fastbench.targets import Target


class Rest:
    """Whatever answers a POST: nothing is asked before the first inference."""

    kind = "rest"

    def resource(self, target: Target) -> str:
        """Return path and query of the URL."""
        return target.resource

    def meet(self, _server: HttpServer, _fields: Mapping[str, str]) -> Served:
        """Return nothing: there is nothing that could be asked."""
        return Served()

    def body(self, form: str, sent: Sequence[Sent], _served: Served) -> Body:
        """Return the bytes of the inputs, bare or as the files of a form."""
        return multipart_body(sent) if form == "multipart" else plain_body(sent)

    def json_form(self, _form: str, _sent: Sent, _served: Served) -> JsonForm:
        """Return ``{"instances": rows}``."""
        return INSTANCES

    def tensor(self, answer: Answer, _served: Served) -> NDArray[np.float32]:
        """Return the numbers of JSON, or else the body as float32."""
        return plain_tensor(answer)
