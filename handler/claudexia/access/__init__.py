"""Access control and billing data: who may call, how much, and what was used.

`keys` authenticates callers, `key_store` manages keys in the table. `limits` defines the limits of a key,
`counters` counts what is used of them, `limiter` enforces them. `ledger` stores usage totals, `prices` computes
costs, `thinking_store` stores thinking for later requests. `stores` creates all of them from the settings.
"""
