"""What to do next: the search, the training, and the rounds both are made of."""
