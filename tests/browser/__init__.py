"""Real Chromium: the client and the console as people have them. In `quick/` without the deployed stack."""
