"""What a check costs, beside the official checker on the same tree."""
