"""What a user names -> documents."""
