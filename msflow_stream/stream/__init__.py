"""The running stream: queues, fair batches, order and shutdown; it knows types and logs alone."""
