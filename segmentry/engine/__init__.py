"""Who is in, what changed, who must be told."""
