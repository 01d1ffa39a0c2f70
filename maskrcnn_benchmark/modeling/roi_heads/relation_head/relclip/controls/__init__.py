"""What the method is compared with: no context under it, no text in it."""
