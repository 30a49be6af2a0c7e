"""Running the generated scripts."""
