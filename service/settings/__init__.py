"""What can be set: a section each, `Settings` of all, and how they are read."""
