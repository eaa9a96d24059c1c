"""HTTP over the service: `app` answers, `bodies` says what goes over the wire, `server` runs it."""
