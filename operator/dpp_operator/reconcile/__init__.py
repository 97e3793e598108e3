"""What decides: pure functions of (spec, status, observed, now). No kopf, no kubernetes, no clock. Begin with
`extraction`."""
