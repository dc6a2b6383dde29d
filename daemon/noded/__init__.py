"""The control plane of one host: supervise, monitor, decide, heal, roll out, register."""
