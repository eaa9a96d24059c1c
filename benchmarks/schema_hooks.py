"""What schemathesis checks beside its own, see `schema.py`."""

import schemathesis


@schemathesis.check
def valid_is_understood(ctx, response, case):
    """Of a request as the document has it, nobody says that it is not as documented."""
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and response.status_code == 422:
        assert response.json()["type"] != "urn:fuserec:request", response.json()["detail"]
