"""The client in a real browser, against a server that says what a test wants it to say."""
