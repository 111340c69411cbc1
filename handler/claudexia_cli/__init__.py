"""The command `claudexia`. It is never deployed.

cli             the command and its options; loads the module of a subcommand when the subcommand runs
local_gateway   `claudexia`: the gateway on this machine
keys            `claudexia keys`: the keys of a deployed gateway
usage           `claudexia usage`: tokens and cost per key, model and day
check           `claudexia check`: tests a gateway, with check_client as its client
deployed_table  the DynamoDB table of a deployed gateway
console         output, errors and options that the commands share
serve           uvicorn on a socket
http_server     HTTP/1.1 with access to chunks and trailers
echo            an upstream that repeats the user's words
emulator        AWS Lambda and API Gateway on this machine
"""
