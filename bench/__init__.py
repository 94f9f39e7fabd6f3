"""Side by side with the peers, on this machine, in this hour: `scripts/bench` prints one table."""
