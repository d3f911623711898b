"""What a column of the history is called in a tracking store, whose pages group names by their beginning."""

_GROUPS = {
    "quality": ("val_dice", "soft_dice", "folds_percent", "sdlogj", "score"),
    "cost": ("seconds", "sum_seconds", "device_seconds", "workers", "shares", "step_scale"),
    "search": ("alpha_entropy", "alpha_drift", "alpha_hypergradient_norm", "lambda_hypergradient_norm"),
}
_GROUP_OF = {name: group for group, names in _GROUPS.items() for name in names}
_PREFIXES = {"lambda": "lambda", "term": "term", "alpha": "search_alpha", "alpha_share": "search/alpha_share",
             "multiplier": "search/multiplier", "cost": "budget"}  # fmt: skip
_OBJECTIVE = "_objective"


def tracked_name(column: str) -> str:
    """The column's name in a store, such as lambda/lncc for lambda.lncc; one that is in no group stays as it is."""
    if column in _GROUP_OF:
        return f"{_GROUP_OF[column]}/{column}"
    if column.endswith(_OBJECTIVE):
        return f"objective/{column.removesuffix(_OBJECTIVE)}"
    prefix, dot, rest = column.partition(".")
    return f"{_PREFIXES[prefix]}/{rest}" if dot and prefix in _PREFIXES else column
