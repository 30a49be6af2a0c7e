"""The weights of a checkpoint, judged by the headers of their files alone."""
