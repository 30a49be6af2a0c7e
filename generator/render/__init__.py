"""Plan -> the text of every generated file."""
