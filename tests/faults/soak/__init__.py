"""Hours of faults at half of the load that the service can take: `python -m tests.faults.soak`."""
