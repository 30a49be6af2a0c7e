"""What `leangen explain` answers: of a field, and of a line that was generated."""
