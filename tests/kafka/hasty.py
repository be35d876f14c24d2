"""`wakeful` that gives up a transaction soon, as where a topic goes while something is written."""

from service.cli import main
from service.kafka import transactions

SECONDS = 3.0

if __name__ == "__main__":
    transactions.GIVE_UP_SECONDS = SECONDS
    main()
