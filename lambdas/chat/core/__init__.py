"""What a chat is, and what may happen to it. Never imports boto3."""
