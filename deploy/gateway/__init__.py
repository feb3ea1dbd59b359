"""The gateway: the program in a user's droplet that runs terminal sessions for the hub.

It is released as one file without dependencies, so it imports nothing of ours but itself, and of
others only what `build` puts into that file.
"""
