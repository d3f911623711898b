"""What is remembered of a run: parameters and metrics, where the code came from, what the work cost.

`tracker` holds the verbs and the in-memory version, `mlflow_tracker` the one that writes to MLflow,
`ledger` the books of device-seconds, `provenance` the tags every run carries.
"""
