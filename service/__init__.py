"""The streaming service: sources, decoding, memories, sinks, API. Read `service.pipeline` first."""
