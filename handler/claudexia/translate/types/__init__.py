"""The wire types of both vendors: what clients send and get, what the upstream takes and returns."""
