"""Benchmarks and studies; nothing else imports them."""
