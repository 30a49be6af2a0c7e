"""What a schema cannot say: rules between fields."""
