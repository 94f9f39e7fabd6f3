"""JSON documents: what Agents of version 5 measured, service checks, events, and metadata of hosts."""
