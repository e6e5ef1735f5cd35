"""The common production set-up, small: models behind Flask and gunicorn, run by onnxruntime.

``POST /predict/NAME`` takes a tensor as ``application/octet-stream`` (little-endian, one sample or
several; where the model has several inputs, one input after the other), as JSON
(``{"instances": [...]}``, or one key for each input of the model) or as ``multipart/form-data``
(one part for each input, named as it is). It answers raw with raw, else with JSON,
``{"outputs": [...]}``: the first output. ``GET /health`` names the models.

gunicorn runs :func:`create_app` once in each worker process. This file needs nothing else of
fastbench: it also runs where only Flask, NumPy and onnxruntime are installed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import flask
import numpy as np
import onnxruntime
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_DTYPES = {"tensor(float)": "<f4", "tensor(int32)": "<i4", "tensor(int64)": "<i8"}
_RAW = "application/octet-stream"
_NOTHING = "nothing is at this path; there are POST /predict/NAME and GET /health"


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a model. ``shape``: of one sample; ``batches``: there may be several."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    batches: bool

    def of_bytes(self, data: bytes) -> NDArray[Any]:
        """Return the tensor of raw bytes. Raises :class:`BadRequest` where they do not fit."""
        if len(data) % self.dtype.itemsize:
            self._refuse(f"{len(data)} bytes")
        return self._fit(np.frombuffer(data, dtype=self.dtype))

    def of_numbers(self, numbers: Any) -> NDArray[Any]:
        """Return the tensor of nested lists. Raises :class:`BadRequest` where they do not fit."""
        try:
            return self._fit(np.asarray(numbers, dtype=self.dtype))
        except (ValueError, TypeError, OverflowError) as error:
            self._refuse("no list of numbers of that shape", error)

    def _fit(self, values: NDArray[Any]) -> NDArray[Any]:
        each = math.prod(self.shape)
        fits = values.size % each == 0 if self.batches else values.size == each
        if not fits or not values.size:
            self._refuse(f"{values.size} values")
        return values.reshape((-1, *self.shape) if self.batches else self.shape)

    def _refuse(self, got: str, cause: Exception | None = None) -> NoReturn:
        size = "x".join(map(str, self.shape))
        many = "samples of " if self.batches else ""
        msg = f"input {self.name} takes {many}{size} {self.dtype.name}, not {got}"
        raise BadRequest(msg) from cause


class Served:
    """A model in onnxruntime, on the CPU."""

    def __init__(self, path: str, intra_op: int) -> None:
        """Load the file; ``intra_op``: threads of one inference, 0 = one per core."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = [_input(value) for value in self._session.get_inputs()]

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output. Raises :class:`BadRequest` where the inputs do not fit."""
        try:
            answer: NDArray[Any] = self._session.run(None, dict(tensors))[0]
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise BadRequest(" ".join(str(error).split())) from error
        return answer


def create_app(models: Mapping[str, str], intra_op: int = 0) -> flask.Flask:
    """Return the app for ``models``: names to paths of ONNX files."""
    app = flask.Flask("fastbench.serve.rest_app")
    served = {name: Served(path, intra_op) for name, path in models.items()}

    @app.get("/health")
    def health() -> flask.Response:
        return flask.jsonify(status="ok", models=sorted(served))

    @app.post("/predict/<name>")
    def predict(name: str) -> flask.Response:
        if name not in served:
            msg = f"no model {name}; there are {', '.join(sorted(served))}"
            raise NotFound(msg)
        return _answer(served[name], flask.request)

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> tuple[flask.Response, int]:
        known = flask.request.url_rule is not None or error.code != NotFound.code
        said = error.description if known else _NOTHING
        return flask.jsonify(error=said), error.code or 500

    return app


def _answer(model: Served, request: flask.Request) -> flask.Response:
    if request.mimetype == _RAW:
        answer = model.run(_of_bytes(model, request.get_data()))
        return flask.Response(answer.tobytes(), mimetype=_RAW)
    is_form = request.mimetype == "multipart/form-data"
    answer = model.run(_of_form(model, request) if is_form else _of_json(model, request))
    return flask.jsonify(outputs=answer.tolist())


def _of_bytes(model: Served, data: bytes) -> dict[str, NDArray[Any]]:
    """Return the inputs, which stand one after the other with as many samples each."""
    if len(model.inputs) == 1:
        return {model.inputs[0].name: model.inputs[0].of_bytes(data)}
    each = [i.dtype.itemsize * math.prod(i.shape) for i in model.inputs]
    samples, rest = divmod(len(data), sum(each))
    if rest:
        msg = f"{len(data)} bytes: one sample of all inputs has {sum(each)}"
        raise BadRequest(msg)
    ends = itertools.accumulate(samples * size for size in each)
    parts = [data[end - samples * size : end] for size, end in zip(each, ends, strict=True)]
    return {i.name: i.of_bytes(part) for i, part in zip(model.inputs, parts, strict=True)}


def _of_form(model: Served, request: flask.Request) -> dict[str, NDArray[Any]]:
    files = dict(request.files)
    if len(model.inputs) == len(files) == 1:  # the one part may have any name
        files = {model.inputs[0].name: next(iter(files.values()))}
    _check_names(model, files)
    return {i.name: i.of_bytes(files[i.name].read()) for i in model.inputs}


def _of_json(model: Served, request: flask.Request) -> dict[str, NDArray[Any]]:
    values = request.get_json()  # raises what says that it is none
    if isinstance(values, dict) and set(values) == {"instances"}:
        return {_only(model).name: _only(model).of_numbers(values["instances"])}
    _check_names(model, values if isinstance(values, dict) else {})
    return {i.name: i.of_numbers(values[i.name]) for i in model.inputs}


def _check_names(model: Served, given: Mapping[str, object]) -> None:
    wanted = [i.name for i in model.inputs]
    if sorted(given) != sorted(wanted):
        msg = f"the model takes {', '.join(wanted)}, not {', '.join(sorted(given)) or 'nothing'}"
        raise BadRequest(msg)


def _only(model: Served) -> Input:
    if len(model.inputs) != 1:
        names = ", ".join(i.name for i in model.inputs)
        msg = f"the model has several inputs ({names}): send them all, by name"
        raise BadRequest(msg)
    return model.inputs[0]


def _input(value: Any) -> Input:
    """Return what onnxruntime says of an input; a first dimension of any size is the batch's."""
    shape = list(value.shape)
    batches = bool(shape) and not isinstance(shape[0], int)
    sizes = [size if isinstance(size, int) else 1 for size in (shape[1:] if batches else shape)]
    if value.type not in _DTYPES:
        msg = f"input {value.name} is a {value.type}; --rest takes {', '.join(_DTYPES)}"
        raise TypeError(msg)
    return Input(value.name, np.dtype(_DTYPES[value.type]), tuple(sizes), batches)
