"""The demo: the main job in scenes, on the deployed stack, with real WebSocket clients."""
