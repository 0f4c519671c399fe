"""The world outside: DynamoDB, Step Functions, and Ringback by its public package."""
