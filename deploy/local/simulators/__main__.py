"""`python -m deploy.local.simulators fly|kv|auth|netlify|digitalocean --state DIR …`."""

from deploy.local.simulators.server import main

if __name__ == "__main__":
    main()
