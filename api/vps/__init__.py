"""VPSs of users: droplets on their own accounts, terminal sessions and SSH keys on them."""
