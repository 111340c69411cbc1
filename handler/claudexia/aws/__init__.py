"""Signed HTTPS calls to AWS, over the httpx that the gateway has loaded anyway.

`signing` computes Signature Version 4, `credentials` obtains and refreshes credentials, `client` calls the JSON
APIs of DynamoDB and Secrets Manager. boto3 is not needed: its import takes longer than that of the gateway.
"""
