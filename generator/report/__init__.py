"""A plan, a project and what was measured: in words, tables and JSON."""
