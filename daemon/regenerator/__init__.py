"""What new version of a node would cure this incident, and is it proved?

A one-shot worker, never part of the daemon: evidence and the parent release in; a candidate release,
its difference and a report out. Input -> Policy -> Action: the incident and the parent's sources are
read once, generators and static gates are pure functions over them, trials run children in a sandbox.
"""
