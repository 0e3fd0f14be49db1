"""The pages, one file each; what a file makes by `page` and `call` is served."""
