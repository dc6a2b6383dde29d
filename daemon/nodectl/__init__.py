"""The administrator's command line: it asks noded over the control socket and says what came back."""

VERSION = "0.1.0"
