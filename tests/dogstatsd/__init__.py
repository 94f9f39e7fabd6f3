"""Tests of the DogStatsD server without an instance, and what they share."""
