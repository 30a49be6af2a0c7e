"""A spec beside what it was at a revision of git: what changed, and what that does."""
