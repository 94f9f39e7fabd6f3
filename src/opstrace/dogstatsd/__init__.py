"""DogStatsD as a Datadog Agent serves it: datagrams in, what an Agent would have sent out."""
