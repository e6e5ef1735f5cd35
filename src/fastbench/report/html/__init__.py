"""``report.html``: one self-contained page per result, made from the result alone."""
