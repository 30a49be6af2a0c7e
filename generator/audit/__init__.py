"""What the imports of each stage cost: packages, megabytes, seconds, memory, money."""
