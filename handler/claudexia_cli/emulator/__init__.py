"""AWS Lambda on this machine.

server          serve_lambda(): the function's process, and the server in front of it
gateway         LambdaGateway: API Gateway as an ASGI app
runtime_api     RuntimeApi: the Lambda Runtime API that the function's process polls
"""
