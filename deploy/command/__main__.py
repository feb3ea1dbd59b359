"""`python -m deploy.command`."""

from deploy.command import main

main()
