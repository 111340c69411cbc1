"""An upstream that speaks the Messages API and repeats the user's words, to try the gateway without a key.

schema      the part of JSON Schema that the echo reads, and a sample value for a schema
request     the request types, and the checks that the API makes
reply       what the echo answers to a request
server      EchoTransport for httpx, and EchoServer on a port
"""

from claudexia_cli.echo.server import ECHO_REQUEST_ID, EchoServer, EchoTransport

__all__ = ["ECHO_REQUEST_ID", "EchoServer", "EchoTransport"]
