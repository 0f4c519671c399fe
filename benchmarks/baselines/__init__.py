"""What somebody would use instead: each what a good engineer builds in a day."""
