"""What an inference against RedisAI may look like: its form and dialect, and what goes together."""

from __future__ import annotations

from fastbench.errors import UsageError

FORMS = ("pipeline", "dag", "dag-ro", "execute", "script")
DIALECTS = ("modern", "legacy")
#: Forms in which a DAG may leave tensors behind, so that PERSIST has a meaning.
PERSISTING = ("dag", "script")
#: Forms whose reply is not the model's own answer, so that it cannot be compared with onnxruntime.
UNVERIFIABLE = {
    "execute": "reads no answer back",
    "script": "replies what the script makes of the answer",
}


def check_form(form: str, *, persist: bool, script: bool, verify: bool) -> None:
    """Check what was asked for beside a form.

    Raises :class:`UsageError` naming the options that do not go together, and the remedy.
    """
    if persist and form not in PERSISTING:
        msg = f"--persist and --form {form}: only a DAG that may write keeps its answer: "
        raise UsageError(msg + "use --form dag or script")
    if script != (form == "script"):
        msg = "--form script and --script FILE belong together: give both"
        raise UsageError(msg)
    if verify and form in UNVERIFIABLE:
        msg = f"--verify: --form {form} {UNVERIFIABLE[form]}; use --form pipeline, dag or dag-ro"
        raise UsageError(msg)
