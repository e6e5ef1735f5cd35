"""Two or more results held against each other: what differs, and what can be said of it."""
