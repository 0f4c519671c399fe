"""A progress bar of a long job in the backend, which survives a reload of its page."""
