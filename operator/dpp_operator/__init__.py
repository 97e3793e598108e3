"""The operator: turns extraction resources into Jobs. Its rooms come with the operator itself."""
