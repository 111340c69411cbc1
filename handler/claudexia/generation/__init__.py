"""One request to Claude, whatever API the client uses: start, resume, accumulate, stream, bill."""
