"""The way by which a user lets us act on their DigitalOcean account, and by which that ends."""
