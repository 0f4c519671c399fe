"""Small applications on Ringback, to read and to take from."""
