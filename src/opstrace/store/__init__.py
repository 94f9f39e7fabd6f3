"""What is on disk, and the contract its writers and readers meet in."""
