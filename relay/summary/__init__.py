"""What a conversation comes to: by a text model where there is one, else by counting words."""
