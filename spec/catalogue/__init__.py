"""What a spec may name: hardware, models, engines."""
