"""What runs on a host: one LoadGen process per cell. It imports nothing of the controller's."""
