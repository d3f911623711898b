"""Results for people: statistics, figures, pages, comparisons of runs, and what a terminal shows."""
