"""Variants of one spec, side by side: what they share runs once."""
