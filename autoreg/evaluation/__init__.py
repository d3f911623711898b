"""A trained model put to use: scored on pairs, its fields saved, two files registered."""
