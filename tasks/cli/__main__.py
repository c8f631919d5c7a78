"""`python -m stillhouse.tasks.cli` is the command `stillhouse`."""

from stillhouse.tasks.cli.main import main

main()
