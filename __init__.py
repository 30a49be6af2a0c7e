"""One page of YAML in, a handful of short scripts out."""
