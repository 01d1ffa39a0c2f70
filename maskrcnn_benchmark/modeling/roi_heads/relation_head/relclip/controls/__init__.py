"""What the method is compared with: no context under it."""
