"""What the schema says of a value, in plain words."""
