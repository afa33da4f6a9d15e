"""The user's side: commands that ask a gateway. Imports nothing of the gateway, and little before it is needed."""
