"""What watching costs the host that measures."""
