"""What clients speak: one module per API, and the request handling that the APIs share."""
