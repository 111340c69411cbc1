"""The database behind keys, limits, usage totals and stored thinking.

`table` defines the Table protocol, its values and TableError. `dynamodb` and `memory` implement it.
"""
