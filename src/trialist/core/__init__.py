"""Records, statuses, events, errors and ports: what every other room speaks. Standard library only."""
