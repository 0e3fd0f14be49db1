"""The console: pages for people who watch cameras, in a process of its own."""
