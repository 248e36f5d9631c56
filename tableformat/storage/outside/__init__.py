"""What lies outside of a store: objects that references point at, opened only where the reader allowed it."""
