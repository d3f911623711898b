"""Registration stated as three nested problems: space, batches, objectives, score."""
